package httpapi

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/danvoulez/logline/internal/followers"
)

// metrics are this server's own; two servers in one process do not meet.
type metrics struct {
	requests *prometheus.CounterVec   // by route, method, status
	latency  *prometheus.HistogramVec // by route, method
	appends  *prometheus.CounterVec   // by outcome
	inFlight prometheus.Gauge
	feeds    *prometheus.GaugeVec   // by transport
	closed   *prometheus.CounterVec // by transport, code
	refused  *prometheus.CounterVec // by reason
	handler  http.Handler
}

// Outcomes of an append beside those of engine.Result.
const (
	outcomePending = "pending"
	outcomeRefused = "refused"
)

func newMetrics(mirrorLag, searchLag, taskLag func() int64, watched Followers, gate Gate, quotas Quotas) *metrics {
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
	m.feeds = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "logline_feeds_open", Help: "Live feeds open now.",
	}, []string{"transport"})
	m.closed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "logline_feeds_closed_total", Help: "Live feeds ended, by close code; 1006 and 0 are clients that left.",
	}, []string{"transport", "code"})
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "logline_connections_refused_total", Help: "Connections closed to keep within the bounds: too many of one address, in all, or because they had waited for longest.",
	}, []string{"reason"})
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.latency, m.appends, m.inFlight, m.feeds, m.closed, m.refused,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, lag := range []struct {
		of         func() int64
		name, help string
	}{
		{mirrorLag, "logline_mirror_lag_entries", "Entries known to be missing in the mirror's files."},
		{searchLag, "logline_search_lag_entries", "Entries known to be missing in the index of words; they are searched by reading them."},
		{taskLag, "logline_task_lag_entries", "Entries known whose actions are not made tasks of yet."},
	} {
		if lag.of != nil {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: lag.name, Help: lag.help}, func() float64 { return float64(lag.of()) }))
		}
	}
	if watched != nil {
		registry.MustRegister(followerMetrics(watched.Measure))
	}
	if gate != nil {
		registry.MustRegister(gateMetrics{gate})
	}
	if quotas != nil {
		registry.MustRegister(quotaMetrics{quotas})
	}
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry})
	return m
}

// followerMetrics tell how this process's followers stand in all timelines; the
// label is a name of a few, and never a tenant's.
type followerMetrics func() []followers.Measure

var followerGauges = [...]struct {
	desc *prometheus.Desc
	of   func(*followers.Measure) float64
}{
	{followerDesc("lag_entries", "Entries known that a follower has not read, in all timelines."), func(m *followers.Measure) float64 { return float64(m.Entries) }},
	{followerDesc("lag_seconds", "For how long a follower has not read all there is, in the timeline where that is longest."), func(m *followers.Measure) float64 { return m.Oldest.Seconds() }},
	{followerDesc("parked", "Timelines in which a follower failed as often as it may and waits for somebody."), func(m *followers.Measure) float64 { return float64(m.Parked) }},
	{followerDesc("paused", "Timelines in which somebody holds a follower."), func(m *followers.Measure) float64 { return float64(m.Paused) }},
	{followerDesc("failing", "Timelines in which a follower failed last and tries again."), func(m *followers.Measure) float64 { return float64(m.Failing) }},
}

func followerDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("logline_follower_"+name, help, []string{"follower"}, nil)
}

// Describe implements prometheus.Collector.
func (followerMetrics) Describe(to chan<- *prometheus.Desc) {
	for i := range followerGauges {
		to <- followerGauges[i].desc
	}
}

// Collect implements prometheus.Collector.
func (f followerMetrics) Collect(to chan<- prometheus.Metric) {
	for _, m := range f() {
		for _, g := range &followerGauges {
			to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.of(&m), m.Name)
		}
	}
}

// gateMetrics tell how often limits said no.
type gateMetrics struct{ Gate }

var (
	gateRefused = prometheus.NewDesc("logline_rate_limited_total", "Requests and groups of spans refused because too many came, by what is counted.", []string{"by"}, nil)
	gateAlone   = prometheus.NewDesc("logline_rate_limits_alone", "1 while rate limits that processes share hold in this one alone, because Redis does not answer.", nil, nil)
)

// Describe implements prometheus.Collector.
func (gateMetrics) Describe(to chan<- *prometheus.Desc) { to <- gateRefused; to <- gateAlone }

// Collect implements prometheus.Collector.
func (g gateMetrics) Collect(to chan<- prometheus.Metric) {
	g.Refused(func(by string, n int64) {
		to <- prometheus.MustNewConstMetric(gateRefused, prometheus.CounterValue, float64(n), by)
	})
	alone := 0.0
	if g.Alone() {
		alone = 1
	}
	to <- prometheus.MustNewConstMetric(gateAlone, prometheus.GaugeValue, alone)
}

// quotaMetrics tell how often tenants came near their quotas; never which.
type quotaMetrics struct{ Quotas }

var quotaWarned = prometheus.NewDesc("logline_quota_warnings_total", "Times that a tenant crossed a mark of a quota, by the mark.", []string{"percent"}, nil)

// Describe implements prometheus.Collector.
func (quotaMetrics) Describe(to chan<- *prometheus.Desc) { to <- quotaWarned }

// Collect implements prometheus.Collector.
func (q quotaMetrics) Collect(to chan<- prometheus.Metric) {
	q.Warned(func(percent int, n int64) {
		to <- prometheus.MustNewConstMetric(quotaWarned, prometheus.CounterValue, float64(n), statusText(percent))
	})
}

func (m *metrics) connectionRefused(reason string) { m.refused.WithLabelValues(reason).Inc() }

func (m *metrics) request(route, method string, status int, took time.Duration) {
	if !knownMethod(method) {
		method = "other" // the caller's invention must not become a label
	}
	m.requests.WithLabelValues(route, method, statusText(status)).Inc()
	if route == feedRoute && status < http.StatusMultipleChoices || status == http.StatusSwitchingProtocols {
		return // how long somebody listened is no latency
	}
	m.latency.WithLabelValues(route, method).Observe(took.Seconds())
}

// feedOpen counts a feed as open until the returned function is called.
func (m *metrics) feedOpen(transport string) (ended func()) {
	g := m.feeds.WithLabelValues(transport)
	g.Inc()
	return g.Dec
}

func (m *metrics) feedEnded(transport string, code int) {
	m.closed.WithLabelValues(transport, statusText(code)).Inc()
}

func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}
