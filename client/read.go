package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"

	"github.com/danvoulez/logline/client/openapi"
)

// Filter chooses entries; every member that is set must hold.
type Filter struct {
	Types      []string // patterns, any of which may match: * one segment, ** the rest
	Author     string   // LogLine ID
	Claimed    bool     // those of the ghosts that the author claimed too
	Subject    string
	Tag        string
	Status     string // effective status
	Since      string // recorded at this time or later
	Until      string // recorded before this time
	Cause      string // span id among the span's causes
	Q          string // words that must all occur
	Descending bool   // newest first
	Limit      int    // entries a page; 0 = 100, at most 1000
	Cursor     string // Next of the page before
}

// Query gives one page of entries; Statuses are the effective ones of Items.
func (c *Client) Query(ctx context.Context, tenant string, f Filter) (*Page, error) {
	p := &openapi.ListSpansParams{
		Type: f.Types, Author: optional(f.Author), Claimed: optional(f.Claimed), Subject: optional(f.Subject), Tag: optional(f.Tag),
		Status: optional(openapi.Status(f.Status)), Since: optional(f.Since), Until: optional(f.Until),
		Cause: optional(f.Cause), Q: optional(f.Q), Limit: optional(f.Limit), Cursor: optional(f.Cursor),
	}
	if f.Descending {
		p.Order = optional(openapi.Desc)
	}
	return value[Page](c.api.ListSpans(ctx, tenant, p, c.edit))
}

// All gives every entry of a query, page by page. It ends after an error.
func (c *Client) All(ctx context.Context, tenant string, f Filter) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for {
			page, err := c.Query(ctx, tenant, f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, entry := range page.Items {
				if !yield(entry, nil) {
					return
				}
			}
			if page.Next == nil {
				return
			}
			f.Cursor = *page.Next
		}
	}
}

// Entry gives the entry of one span.
func (c *Client) Entry(ctx context.Context, tenant, span string) (*Record, error) {
	return value[Record](c.api.GetSpan(ctx, tenant, span, c.edit))
}

// Causes is the graph of what led to a span, following up to depth edges;
// 0 leaves the depth to the node.
func (c *Client) Causes(ctx context.Context, tenant, span string, depth int) (*Graph, error) {
	return value[Graph](c.api.GetCauses(ctx, tenant, span, &openapi.GetCausesParams{Depth: optional(depth)}, c.edit))
}

// Effects is the graph of what a span led to, following up to depth edges;
// 0 leaves the depth to the node.
func (c *Client) Effects(ctx context.Context, tenant, span string, depth int) (*Graph, error) {
	return value[Graph](c.api.GetEffects(ctx, tenant, span, &openapi.GetEffectsParams{Depth: optional(depth)}, c.edit))
}

// Why explains one entry: who signed, with which key and right, what was
// decided, what caused it and what it caused.
func (c *Client) Why(ctx context.Context, tenant, span string) (*Why, error) {
	return value[Why](c.api.GetWhy(ctx, tenant, span, c.edit))
}

// Contracts lists every version of every contract that was activated, by name
// and position: those in force and those that were.
func (c *Client) Contracts(ctx context.Context, tenant string) ([]Contract, error) {
	page, err := value[openapi.ContractPage](c.api.ListContracts(ctx, tenant, c.edit))
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// Contract gives the versions of one contract, and the source of the one that
// version names (by number or hash); "" asks for the one in force. Where none
// is in force there is no source.
func (c *Client) Contract(ctx context.Context, tenant, name, version string) (*ContractVersions, error) {
	return value[ContractVersions](c.api.GetContract(ctx, tenant, name, &openapi.GetContractParams{Version: optional(version)}, c.edit))
}

// Receipt gives the span's first receipt.
func (c *Client) Receipt(ctx context.Context, tenant, span string) (*Receipt, error) {
	return value[Receipt](c.api.GetReceipt(ctx, tenant, span, nil, c.edit))
}

// ReceiptProof gives the span's first receipt as a C2SP tlog-proof file whose
// extra data is the entry's line, or, where cosigned is set, the one under the
// first checkpoint that witnesses cosigned (see CosignedCheckpoint).
func (c *Client) ReceiptProof(ctx context.Context, tenant, span string, cosigned bool) ([]byte, error) {
	p := &openapi.GetReceiptParams{Format: optional(openapi.TlogProof), Cosigned: optional(cosigned)}
	body, _, err := answer(c.api.GetReceipt(ctx, tenant, span, p, c.edit))
	return body, err
}

// Checkpoint gives the latest signed checkpoint of a timeline.
func (c *Client) Checkpoint(ctx context.Context, tenant string) ([]byte, error) {
	body, _, err := answer(c.api.GetCheckpoint(ctx, tenant, nil, c.edit))
	return body, err
}

// CosignedCheckpoint gives the newest checkpoint that witnesses have cosigned as
// the node's policy asks; the problem's code is not_cosigned where there is none.
func (c *Client) CosignedCheckpoint(ctx context.Context, tenant string) ([]byte, error) {
	body, _, err := answer(c.api.GetCheckpoint(ctx, tenant, &openapi.GetCheckpointParams{Cosigned: optional(true)}, c.edit))
	return body, err
}

// Cosign brings cosignatures to the node: the checkpoint as it gave it out, with
// the witnesses' lines added. It gives the checkpoint with all that the node
// holds, and whether any was news.
func (c *Client) Cosign(ctx context.Context, tenant string, note []byte) (dressed []byte, news bool, err error) {
	body, status, err := answer(c.api.CosignCheckpointWithBody(ctx, tenant, "text/plain", bytes.NewReader(note), c.edit))
	return body, status == http.StatusCreated, err
}

// Inclusion proves that leaf index is in the tree of size; 0 is the current size.
func (c *Client) Inclusion(ctx context.Context, tenant string, index, size uint64) (*InclusionProof, error) {
	p := &openapi.GetInclusionParams{Index: index, Size: optional(size)}
	return value[InclusionProof](c.api.GetInclusion(ctx, tenant, p, c.edit))
}

// Consistency proves that the tree of size from is a prefix of the tree of
// size to; to 0 is the current size.
func (c *Client) Consistency(ctx context.Context, tenant string, from, to uint64) (*ConsistencyProof, error) {
	p := &openapi.GetConsistencyParams{From: from, To: optional(to)}
	return value[ConsistencyProof](c.api.GetConsistency(ctx, tenant, p, c.edit))
}

// Bundle writes entries from..to (to not included; 0 is the current size) to w
// as a bundle. After an error w holds a cut bundle, which does not verify.
func (c *Client) Bundle(ctx context.Context, tenant string, w io.Writer, from, to uint64) error {
	return bundleTo(w)(c.api.ExportBundle(ctx, tenant, &openapi.ExportBundleParams{From: optional(from), To: optional(to)}, c.edit))
}

// CosignedBundle is Bundle up to the end of the newest checkpoint that witnesses
// have cosigned as the node's policy asks.
func (c *Client) CosignedBundle(ctx context.Context, tenant string, w io.Writer, from uint64) error {
	return bundleTo(w)(c.api.ExportBundle(ctx, tenant, &openapi.ExportBundleParams{From: optional(from), Cosigned: optional(true)}, c.edit))
}

// bundleTo copies an answer that is a bundle to w.
func bundleTo(w io.Writer) func(resp *http.Response, err error) error {
	return func(resp *http.Response, err error) error {
		if err != nil {
			return err
		}
		return copyBundle(w, resp)
	}
}

func copyBundle(w io.Writer, resp *http.Response) error {
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return problemOf(resp)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return brokenOff(err, "the bundle")
	}
	return nil
}

// ImportOptions say where an imported timeline goes and whom to believe; "" asks
// for nothing.
type ImportOptions struct {
	Slug       string // to keep it under
	Node       string // LogLine ID that must have signed it
	Checkpoint string // signed note that it must contain
	Bootstrap  string // token of a node that has no tenant yet; "" sends the caller's own credential
}

// ImportBundle brings a whole timeline of another node, of the tenant with this
// id, to this one, where it can be read and not written. created is false where
// it was here, and extended at most.
func (c *Client) ImportBundle(ctx context.Context, tenant string, bundle io.Reader, opt ImportOptions) (out *ImportedBundle, created bool, err error) {
	p := &openapi.ImportBundleParams{Slug: optional(opt.Slug), Node: optional(opt.Node), Checkpoint: optional(opt.Checkpoint)}
	out, status, err := decode[ImportedBundle](c.api.ImportBundleWithBody(ctx, tenant, p, "application/x-ndjson", bundle, func(ctx context.Context, req *http.Request) error {
		if opt.Bootstrap != "" {
			req.Header.Set("Authorization", "Bearer "+opt.Bootstrap)
		}
		return c.edit(ctx, req)
	}))
	return out, status == http.StatusCreated, err
}
