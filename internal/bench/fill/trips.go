package fill

import (
	"fmt"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// steps are what happens of a trip, in the order of most of those of a real
// university (docs/maps/travel-permits.yaml), and what each span names.
var steps = [...]struct{ typ, names string }{
	{"permit.submitted", "permit"},
	{"permit.approved", "permit"},
	{"permit.final_approved", "permit"},
	{"start_trip", "permit"},
	{"end_trip", "permit"},
	{"declaration.submitted", "permit declaration"},
	{"declaration.approved", "permit declaration"},
	{"declaration.final_approved", "permit declaration"},
	{"request_payment", "permit declaration"},
	{"payment_handled", "permit declaration"},
}

// trips is how many are under way at a time: those of one batch, so that each is
// in order.
const trips = uint64(batch / len(steps))

// Trip is the nth span of trips that are permitted, made, declared and paid, 100
// of them at a time, as examples/travel decides about them.
func Trip(author *id.Keys, tenant string, n uint64) ([]byte, error) {
	step, trip := steps[n%batch/trips], n/batch*trips+n%trips
	permit, declaration := fmt.Sprintf("travel permit %d", trip), ""
	subject := permit
	if step.names != "permit" {
		subject = fmt.Sprintf("declaration %d", trip)
		declaration = fmt.Sprintf(`"declaration":%q,`, subject)
	}
	payload := fmt.Appendf(nil, `{"activity":"%s by EMPLOYEE","amount":"%d.4336",%s"id":"st_step %d_0","logs":["PermitLog","InternationalDeclarations"],"org_unit":"organizational unit 65455","permit":%q,"resource":"STAFF MEMBER","role":"EMPLOYEE"}`,
		step.typ, n%997, declaration, n, permit)
	return Seal(author, tenant, "travel."+step.typ, payload, func(h *span.Header) {
		h.Title, h.Subject, h.Tags = step.typ+" by EMPLOYEE", subject, []string{permit, "role:employee"}
	})
}
