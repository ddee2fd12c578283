package bundle

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/internal/span"
)

// codeContract is the problem of a decision by a contract that was not active at
// its position.
const codeContract = "contract_not_active"

// contracts are those that a timeline has activated so far, by its
// logline.contract entries, whose payloads are never redacted.
type contracts struct {
	active map[string]string         // name to version#hash; the shadow's name has a slash before it
	known  map[string]bool           // name@version#hash of all that ever were
	began  map[string]bool           // those that workflow instances were pinned to
	asked  map[string]*span.Contract // by id of a span that waits for votes
}

func newContracts() *contracts {
	return &contracts{map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]*span.Contract{}}
}

// pins is what a decision's effects tell of workflow instances that it began.
type pins struct {
	Instances []struct {
		Contract string `json:"contract"`
	} `json:"instances"`
}

// judge says why the decision of an entry cannot have been made by the contracts
// that it names, "" where it can. Those out of force only end what they began:
// workflow instances, and what the node answers to votes and time.
func (c *contracts) judge(e *span.Entry, node string) string {
	for _, ref := range e.Decision.Contracts {
		name, version, _ := strings.Cut(ref, "@")
		switch {
		case !c.known[ref]:
			return fmt.Sprintf("the decision names the contract %s, and no entry before has activated that version with that source", ref)
		case c.active[name] == version, c.began[ref]: // a shadow decides nothing
		case e.Span.Type == span.TypeApproval, e.Span.Author == node && e.Span.Type != span.TypeDecision:
		default:
			return fmt.Sprintf("the decision names the contract %s, which was out of force and had begun nothing that is still to end", ref)
		}
	}
	return ""
}

// apply takes in what an entry changes.
func (c *contracts) apply(e *span.Entry, payload []byte) {
	var p pins
	if e.Decision.Effects != nil && json.Unmarshal(e.Decision.Effects, &p) == nil {
		for _, i := range p.Instances {
			if i.Contract != "" {
				c.began[i.Contract] = true
			}
		}
	}
	switch e.Span.Type {
	case span.TypeContract:
		p, err := span.ParseContract(payload)
		switch {
		case err != nil: // standing has refused it
		case e.Decision.Outcome == span.OutcomePending:
			c.asked[e.Span.ID] = p
		default:
			c.activate(p)
		}
	case span.TypeResolution:
		p, err := span.ParseResolution(payload)
		if err != nil {
			return
		}
		if asked := c.asked[p.Span]; asked != nil && p.Outcome == span.ResolutionExecuted {
			c.activate(asked)
		}
		delete(c.asked, p.Span)
	}
}

// activate puts a version into force, or into the shadow beside another, or takes
// it out of both.
func (c *contracts) activate(p *span.Contract) {
	version := p.Version + "#" + p.Hash
	for _, name := range []string{p.Name, shadowOf(p.Name)} {
		if c.active[name] == version {
			delete(c.active, name)
		}
	}
	switch p.Action {
	case span.ActionActivate:
		c.active[p.Name] = version
	case span.ActionShadow:
		c.active[shadowOf(p.Name)] = version
	default:
		return
	}
	c.known[p.Name+"@"+version] = true
}

// shadowOf is where a contract's shadow stands: no name has a slash.
func shadowOf(name string) string { return "/" + name }
