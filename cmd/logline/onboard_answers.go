package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/onboarding/template"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// none is how somebody says that they want none of something.
const none = "none"

// answers are what onboarding asks for: by flags, at the terminal, or from before.
type answers struct {
	Slug          string `json:"slug,omitempty"`
	TenantName    string `json:"tenant_name,omitempty"`
	PublicReading bool   `json:"public_reading,omitempty"`
	Retention     string `json:"retention,omitempty"` // such as 365d; "" or none: payloads stay
	Invite        string `json:"invite,omitempty"`    // link or token
	Handle        string `json:"handle,omitempty"`
	Name          string `json:"name,omitempty"`
	Sheet         string `json:"sheet,omitempty"` // file; "" or none: no sheet
	Template      string `json:"template,omitempty"`
	Text          string `json:"text,omitempty"` // of the first span

	Invitees []invitee `json:"invitees,omitempty"`
}

// over are the answers of before, where there are, with what the command line says.
func (a answers) over(before answers, given func(string) bool, found bool) answers {
	if !found {
		return a
	}
	for flag, take := range map[string]func(){
		"slug": func() { before.Slug = a.Slug }, "tenant-name": func() { before.TenantName = a.TenantName },
		"public-reading": func() { before.PublicReading = a.PublicReading }, "retention": func() { before.Retention = a.Retention },
		"invite": func() { before.Invite = a.Invite }, "handle": func() { before.Handle = a.Handle }, "name": func() { before.Name = a.Name },
		"recovery-sheet": func() { before.Sheet = a.Sheet }, "template": func() { before.Template = a.Template },
		"invite-to": func() { before.Invitees = a.Invitees },
	} {
		if given(flag) {
			take()
		}
	}
	return before
}

// check refuses answers that no node would take, in the words of flags.
func (a *answers) check() error {
	if !span.ValidSlug(a.Slug) {
		return usagef("%q is not a slug: lower-case letters, digits and dashes, starting with a letter or digit, at most 63, and no UUID", ui.Clean(a.Slug))
	}
	if _, err := a.days(); err != nil {
		return err
	}
	if a.Invite != "" {
		if _, _, err := invite.ParseLink(a.Invite); err != nil {
			return usagef("--invite is no invitation: give its link as it was sent, whole, or its token, which begins with lli_")
		}
	}
	if wants(a.Template) {
		if _, err := template.Get(a.Template, ""); err != nil {
			return &usageError{err: err}
		}
	}
	return nil
}

func wants(answer string) bool { return answer != "" && answer != none }

const longestRetention = 36_500 // days, as the node takes

// days is for how long payloads are kept, 0 for ever.
func (a *answers) days() (int, error) {
	if !wants(a.Retention) {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(a.Retention, "d"))
	if err != nil || n < 1 || n > longestRetention {
		return 0, usagef("--retention %q is not a number of days such as 365d, from 1d to %dd, or none", ui.Clean(a.Retention), longestRetention)
	}
	return n, nil
}

// onTerminal says whether somebody sits at the other end of standard input.
func onTerminal(env *environment) bool {
	in, ok := env.Stdin.(*os.File)
	return ok && term.IsTerminal(int(in.Fd()))
}

// asker asks for lines at a terminal.
type asker struct {
	env *environment
	ctx context.Context // of the one command that asks
}

// line asks a question until the answer is taken; Enter takes def.
func (q *asker) line(question, def string, take func(answer string) error) error {
	for {
		fmt.Fprintf(q.env.Stderr, "%s [%s]: ", question, firstOf(def, none))
		answer, err := q.read()
		if err != nil {
			fmt.Fprintln(q.env.Stderr)
			return err
		}
		if answer == "" {
			answer = def
		}
		if err := take(answer); err != nil {
			fmt.Fprintln(q.env.Stderr, "  "+err.Error())
			continue
		}
		return nil
	}
}

// maxAnswer bounds a line, in bytes.
const maxAnswer = 4096

// read reads a line, byte by byte: what comes after it may be a passphrase, which is
// read in another way. Reading from a terminal cannot be cancelled: when the command
// is, nobody waits for it.
func (q *asker) read() (string, error) {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		var text []byte
		for one := make([]byte, 1); len(text) < maxAnswer; {
			n, err := q.env.Stdin.Read(one)
			if n == 1 && one[0] == '\n' {
				break
			}
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = usagef("the terminal was closed before everything was answered; run it again, or give --yes")
				}
				read <- line{err: err}
				return
			}
			text = append(text, one[:n]...)
		}
		read <- line{text: strings.TrimSpace(strings.ToValidUTF8(string(text), ""))}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-q.ctx.Done():
		return "", q.ctx.Err()
	}
}

// ask asks for what no flag and no earlier run has said, for the steps that are open.
func (j *journey) ask(ctx context.Context, given func(string) bool) error {
	if j.saved.Asked {
		return nil
	}
	q, a := &asker{j.env, ctx}, &j.saved.Answers
	fmt.Fprintf(j.env.Stderr, "Onboarding at %s. Enter takes what stands in brackets; Ctrl-C ends it, and nothing is lost.\n\n", j.p.URL)
	into := func(to *string) func(string) error {
		return func(answer string) error { *to = strings.TrimSpace(strings.TrimPrefix(answer, none)); return nil }
	}
	questions := []struct {
		step, flag, text, def string
		take                  func(string) error
	}{
		{"identity", "name", "Your name in this node's directory; it can be erased", "", into(&a.Name)},
		{"identity", "handle", "Your @handle there", "", func(answer string) error {
			a.Handle = strings.TrimPrefix(strings.TrimPrefix(answer, none), "@")
			return nil
		}},
	}
	for _, x := range questions {
		if !j.isOver(x.step) && !given(x.flag) {
			if err := q.line(x.text, x.def, x.take); err != nil {
				return err
			}
		}
	}
	if err := j.askTenant(q, given); err != nil {
		return err
	}
	if a.Invite == "" && !j.isOver("invitations") && !given("invite-to") {
		if err := j.askInvitees(q); err != nil {
			return err
		}
	}
	if !j.isOver("recovery") && !given("recovery-sheet") {
		def := "recovery-" + j.p.Name + ".txt"
		err := q.line("File for your recovery sheet, with which a lost key is replaced; print it, and remove the file", def, func(answer string) error {
			a.Sheet = answer
			return j.checkSheetFile()
		})
		if err != nil {
			return err
		}
	}
	if !j.isOver("first_span") {
		if err := q.line("A note to append as your first span", "hello", into(&a.Text)); err != nil {
			return err
		}
	}
	j.saved.Asked = true
	fmt.Fprintln(j.env.Stderr)
	return nil
}

// askTenant asks for a tenant to make, or an invitation to one.
func (j *journey) askTenant(q *asker, given func(string) bool) error {
	a := &j.saved.Answers
	if j.isOver("tenant") || a.Invite != "" {
		return nil
	}
	made := given("slug") || given("tenant-name") || j.token != ""
	if !made {
		err := q.line("Link of an invitation, if you have one", none, func(answer string) error {
			if answer = strings.TrimPrefix(answer, none); answer != "" {
				if _, _, err := invite.ParseLink(answer); err != nil {
					return err
				}
			}
			a.Invite = answer
			return nil
		})
		if err != nil || a.Invite != "" {
			return err
		}
	}
	if !given("tenant-name") {
		def := "Main"
		if given("slug") {
			def = a.Slug
		}
		if err := q.line("Name of your organisation or tenant", def, func(answer string) error { a.TenantName = answer; return nil }); err != nil {
			return err
		}
	}
	if !given("slug") {
		err := q.line("Its short name, for addresses and commands", firstOf(slugOf(a.TenantName), a.Slug), func(answer string) error {
			if !span.ValidSlug(answer) {
				return usagef("lower-case letters, digits and dashes, starting with a letter or digit, at most 63")
			}
			a.Slug = answer
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !given("public-reading") {
		err := q.line("May anybody read what is marked public? yes or no", "no", func(answer string) error {
			if answer != "yes" && answer != "no" {
				return usagef("yes or no")
			}
			a.PublicReading = answer == "yes"
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !given("retention") {
		err := q.line("Erase payloads after so many days, such as 365d", none, func(answer string) error {
			a.Retention = answer
			_, err := a.days()
			return err
		})
		if err != nil {
			return err
		}
	}
	if given("template") {
		return nil
	}
	fmt.Fprintln(j.env.Stderr, "Templates to begin with:")
	for _, t := range template.List() {
		fmt.Fprintf(j.env.Stderr, "  %-16s %s\n", t.Name, t.Title)
	}
	return q.line("Template", none, func(answer string) error {
		if wants(answer) {
			if _, err := template.Get(answer, ""); err != nil {
				return err
			}
		}
		a.Template = answer
		return nil
	})
}

// checkSheetFile refuses a file that is there, unless it is the very sheet that an
// earlier run wrote.
func (j *journey) checkSheetFile() error {
	path := j.saved.Answers.Sheet
	if !wants(path) || j.saved.SheetMade {
		return nil
	}
	f := j.sheetFlags()
	return f.check()
}

// sheetFlags say where the sheet goes: a page where the file's name says so.
func (j *journey) sheetFlags() sheetFlags {
	path := j.saved.Answers.Sheet
	if strings.EqualFold(filepath.Ext(path), ".pdf") {
		return sheetFlags{pdf: path}
	}
	return sheetFlags{text: path}
}
