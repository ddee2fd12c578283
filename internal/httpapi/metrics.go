package httpapi

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are this server's own; two servers in one process do not meet.
type metrics struct {
	requests *prometheus.CounterVec   // by route, method, status
	latency  *prometheus.HistogramVec // by route, method
	appends  *prometheus.CounterVec   // by outcome
	inFlight prometheus.Gauge
	handler  http.Handler
}

// Outcomes of an append beside those of engine.Result.
const (
	outcomePending = "pending"
	outcomeRefused = "refused"
)

func newMetrics() *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "logline_http_requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "logline_http_request_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"route", "method"}),
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "logline_appends_total", Help: "Spans sent over HTTP, by what became of them.",
		}, []string{"outcome"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "logline_http_requests_in_flight", Help: "Requests being answered now.",
		}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.latency, m.appends, m.inFlight,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry})
	return m
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	if !knownMethod(method) {
		method = "other" // the caller's invention must not become a label
	}
	m.requests.WithLabelValues(route, method, statusText(status)).Inc()
	m.latency.WithLabelValues(route, method).Observe(took.Seconds())
}

func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}
