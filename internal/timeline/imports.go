package timeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// ImportOptions say what a bundle must be of, and where it goes.
type ImportOptions struct {
	Tenant string         // id that the bundle must be of; "" takes any
	Slug   string         // to keep the timeline under; "" is the one in genesis, or the one it has here
	Verify bundle.Options // pins, and limits
	Dir    string         // of the temporary file; "" is the system's
	Max    int64          // bytes of the bundle; 0: 64 MiB. Memory grows by several times as much
	// Turn is waited for once the bundle is on the disk, so that one which comes
	// slowly keeps nobody waiting; done ends the turn. nil: there are no turns.
	Turn func(ctx context.Context) (done func(), err error)
}

// defaultImport is the largest bundle that is taken, in bytes.
const defaultImport = 64 << 20

// Imported is what became of a bundle.
type Imported struct {
	Tenant   Tenant
	From, To uint64 // entries that were added; equal where nothing was new
	Created  bool
	Report   *bundle.Report
}

// Errors of Import, by their codes.
var (
	// ErrImportOwn: the bundle is of a timeline that this node itself writes.
	ErrImportOwn = fault.New(fault.Conflict, "bundle_own",
		"this node itself writes that timeline, and goes on from its own database alone; to bring back an older state, restore a backup")
	// ErrImportShrunk: there is more of the timeline here than in the bundle.
	ErrImportShrunk = fault.New(fault.Conflict, "bundle_shrunk", "the bundle is older than what is held here")
	// ErrImportFork: the bundle and what is held here are two histories of one timeline.
	ErrImportFork = fault.New(fault.Conflict, "bundle_fork", "the bundle and what is held here are two histories of one timeline")
)

// Import takes over a bundle of another node's timeline, verified as
// bundle.Verify does, as a timeline that is read-only here and keeps its own
// checkpoint. Everything of it is taken in one transaction, or nothing. A later
// bundle of the same timeline extends what is held; one that holds less
// (ErrImportShrunk) or another history (ErrImportFork) is refused.
//
// The bundle must be whole: from entry 0 to the end that its checkpoint signs,
// nothing of it hidden from whoever exported it (bundle_partial). A bundle with
// a problem is bundle_invalid, with each line and reason.
func (l *Log) Import(ctx context.Context, r io.Reader, opt ImportOptions) (Imported, error) {
	if opt.Max <= 0 {
		opt.Max = defaultImport
	}
	file, done, err := spool(r, opt)
	if err != nil {
		return Imported{}, err
	}
	defer done()
	if opt.Turn != nil {
		over, err := opt.Turn(ctx)
		if err != nil {
			return Imported{}, err
		}
		defer over()
	}
	opt.Verify.Workers = cmp.Or(opt.Verify.Workers, l.cfg.Workers)
	report, err := bundle.Verify(ctx, file, opt.Verify)
	if err != nil {
		return Imported{}, err
	}
	im := &importing{log: l, file: file, opt: opt, out: Imported{Report: report}}
	if err := im.mayTake(); err != nil {
		return im.out, err
	}
	if err := im.find(ctx); err != nil {
		return im.out, err
	}
	lv := l.live(im.info.Tenant)
	if err := lv.take(ctx); err != nil {
		return im.out, err
	}
	defer lv.release()
	if err := im.take(ctx, lv); err != nil {
		return im.out, err
	}
	im.out.Tenant, err = l.Tenant(ctx, im.info.Tenant)
	return im.out, err
}

// spool keeps what comes in a temporary file, from which it is read twice. The
// file has no name any more where the system allows that.
func spool(r io.Reader, opt ImportOptions) (file *os.File, done func(), err error) {
	file, err = os.CreateTemp(opt.Dir, "import-*.ndjson")
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, "spool_failed", "the bundle cannot be kept in a temporary file; look for room and permissions in the data directory").Because(err)
	}
	done = func() {
		_ = file.Close()
		_ = os.Remove(file.Name()) // gone already but on systems that keep open files
	}
	_ = os.Remove(file.Name())
	n, err := io.Copy(file, io.LimitReader(r, opt.Max+1))
	var local *os.PathError
	switch {
	case errors.As(err, &local) && local.Op == "write":
		err = fault.New(fault.Unavailable, "spool_failed", "the bundle cannot be kept in a temporary file; look for room in the data directory").Because(err)
	case err != nil:
		err = fault.New(fault.Invalid, "body_incomplete", "the bundle ended, or stopped coming, before its end; send it again").Because(err)
	case n > opt.Max:
		err = fault.Newf(fault.Invalid, "bundle_too_large", "the bundle has more than the %d bytes taken here (limits.bundle)", opt.Max)
	default:
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return file, done, nil
}

// importing is one run of Import.
type importing struct {
	log  *Log
	file *os.File
	opt  ImportOptions
	info bundle.Info
	note *tree.Note
	slug string
	held *Tenant // nil where the timeline is new here
	out  Imported
}

// maxFindings is how many problems of a refused bundle are told.
const maxFindings = 20

// mayTake judges the report.
func (im *importing) mayTake() error {
	rep := im.out.Report
	if !rep.OK {
		bad := fault.Newf(fault.Invalid, "bundle_invalid", "the bundle is refused and nothing was changed: %s", rep.Verdict)
		for i, p := range rep.Problems {
			if i == maxFindings {
				break
			}
			bad = bad.At(fmt.Sprintf("/%d", p.Line-1), p.String())
		}
		return bad
	}
	if im.opt.Tenant != "" && rep.Tenant != im.opt.Tenant {
		return fault.Newf(fault.Invalid, "tenant_mismatch", "the bundle is of tenant %s, and was sent to %s", rep.Tenant, im.opt.Tenant)
	}
	switch {
	case rep.From > 0 || rep.To != rep.Size || rep.Size == 0:
		return fault.Newf(fault.Invalid, "bundle_partial",
			"the bundle holds entries %d to %d of %d; only a whole timeline can be kept: export it without --from and --to", rep.From, rep.To, rep.Size)
	case rep.Hidden > 0 || rep.WithheldPrivate > 0:
		return fault.Newf(fault.Invalid, "bundle_partial",
			"%d entries are withheld from whoever exported the bundle, so that it is not the whole timeline; have an auditor of that tenant export it", rep.Hidden+rep.WithheldPrivate)
	}
	return nil
}

// find reads the header and looks for what is here of the timeline, and for
// whose the slug is.
func (im *importing) find(ctx context.Context) error {
	reader, err := im.reader()
	if err != nil {
		return err
	}
	im.info = reader.Info()
	if im.note, err = tree.ParseNote(im.info.Checkpoint); err != nil {
		return err
	}
	if im.info.Node == im.log.signer.NodeID() {
		return ErrImportOwn
	}
	switch held, err := im.log.Tenant(ctx, im.info.Tenant); {
	case err == nil && !held.ReadOnly:
		return ErrImportOwn
	case err == nil:
		im.held = &held
		if im.opt.Slug != "" && im.opt.Slug != held.Slug {
			return fault.Newf(fault.Conflict, "slug_fixed", "the timeline is kept here as %q already, and a slug never changes; leave the slug out", held.Slug)
		}
		im.slug = held.Slug
		return nil
	case fault.KindOf(err) != fault.NotFound:
		return err
	}
	if im.slug = im.opt.Slug; im.slug == "" {
		im.slug = im.info.Slug
	}
	if !span.ValidSlug(im.slug) {
		return fault.Newf(fault.Invalid, "slug_invalid", "%.80q cannot name a tenant here: use lower-case letters, digits and dashes, at most 63, not of UUID form", im.slug)
	}
	return im.slugFree(ctx)
}

func (im *importing) slugFree(ctx context.Context) error {
	_, err := im.log.store.TenantBySlug(ctx, im.slug)
	switch {
	case err == nil:
		return fault.Newf(fault.Conflict, "slug_taken", "another tenant here has the slug %q; import this one under another with --slug (HTTP: ?slug=)", im.slug)
	case fault.KindOf(err) == fault.NotFound:
		return nil
	}
	return err
}

func (im *importing) reader() (*bundle.Reader, error) {
	if _, err := im.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return bundle.NewReader(im.file, im.opt.Verify)
}

// take appends what is not held. The caller has the turn.
func (im *importing) take(ctx context.Context, lv *live) error {
	head := Head{Root: tree.EmptyRoot()}
	if im.held != nil {
		var err error
		if head, err = im.log.store.Head(ctx, im.held.ID); err != nil {
			return err
		}
		im.out.From, im.out.To = head.Size, head.Size
		if im.note.Size < head.Size {
			return im.shrunk(ctx, head)
		}
	}
	b, err := im.batch(ctx, head)
	if err != nil || b == nil {
		return err
	}
	err = im.log.store.Append(ctx, b)
	lv.forget()
	if errors.Is(err, ErrTenantTaken) {
		return im.taken(ctx, err)
	}
	if err != nil {
		return err
	}
	im.out.From, im.out.To, im.out.Created = b.ExpectedSize, b.Head.Size, b.Create != nil
	return nil
}

// taken says what another import, at the same time, took.
func (im *importing) taken(ctx context.Context, err error) error {
	if clash := im.slugFree(ctx); clash != nil {
		return clash
	}
	return err
}

// shrunk tells an older bundle from one of another history.
func (im *importing) shrunk(ctx context.Context, head Head) error {
	root, err := tree.Root(ctx, hashes{im.log.store, im.held.ID}, im.note.Size)
	if err != nil {
		return err
	}
	if root != im.note.Root {
		return im.fork(im.note.Size, root, im.note.Root)
	}
	return fault.Newf(fault.Conflict, ErrImportShrunk.Code,
		"%d entries of this timeline are held here, and the bundle has only the first %d of them: there is nothing to add. If its node gave it out as its newest, that node lost entries",
		head.Size, im.note.Size)
}

// fork is evidence, and says so.
func (im *importing) fork(size uint64, held, given span.Hash) error {
	return fault.Newf(fault.Conflict, ErrImportFork.Code,
		"the bundle and what is held here are two histories of one timeline: of the first %d entries, the bundle has root %s and this node %s. Nothing was changed. Keep the bundle: its checkpoint and the one held here, signed by one log, prove the fork",
		size, given, held).With("size", size).With("held", held.String()).With("given", given.String()).With("checkpoint", string(im.info.Checkpoint))
}
