package app

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/webhook"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

var (
	_ tasks.Endpoints = (*endpoint.Book)(nil)
	_ tasks.Postman   = (*webhook.Sender)(nil)
)

// Webhook is where webhooks may go, and how.
type Webhook struct {
	Networks string        `mapstructure:"networks"`
	Plain    bool          `mapstructure:"plain"`
	Proxy    string        `mapstructure:"proxy"`
	Timeout  time.Duration `mapstructure:"timeout"`
}

func (w Webhook) networks() (out []netip.Prefix, err error) {
	for text := range strings.SplitSeq(w.Networks, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() || p.Addr().Is4In6() {
			return nil, fault.New(fault.Invalid, "webhook_networks", "must be networks such as 10.1.0.0/16 or fd00:1::/32, separated by commas, without bits behind the prefix")
		}
		out = append(out, p)
	}
	return out, nil
}

func (w Webhook) proxy() (*url.URL, error) {
	if w.Proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(w.Proxy)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return nil, fault.New(fault.Invalid, "webhook_proxy", "must be http://host:port or https://host:port, with user:password@ where the proxy asks for them")
	}
	return u, nil
}

// newWebhooks makes what delivers webhooks and what knows where they go.
func (a *App) newWebhooks() (*webhook.Sender, *endpoint.Book, error) {
	networks, err := a.cfg.Webhook.networks()
	if err != nil {
		return nil, nil, err
	}
	proxy, err := a.cfg.Webhook.proxy()
	if err != nil {
		return nil, nil, err
	}
	key, err := a.node.SealingKey()
	if err != nil {
		return nil, nil, err
	}
	sender := webhook.New(webhook.Config{
		Plain: a.cfg.Webhook.Plain, Networks: networks, Proxy: proxy, Total: a.cfg.Webhook.Timeout, Header: a.cfg.Webhook.Timeout,
		Agent: "LogLine/" + a.opt.Version.Version, Now: a.opt.Now,
	})
	return sender, endpoint.New(a.db, key, sender, a.opt.Now, a.opt.Rand), nil
}
