package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// invitee is somebody to invite.
type invitee struct {
	Role  string        `json:"role"`
	Email string        `json:"email,omitempty"` // "": the inviter gives the link
	Life  time.Duration `json:"life"`            // of the link
}

// readInvitees reads --invite-to.
func (f *onboardFlags) readInvitees() error {
	if f.inviteLife <= 0 || f.inviteLife > invite.MaxLife {
		return usagef("--invite-expires is a time such as 48h, at most 720h (30 days)")
	}
	f.Invitees = nil
	for _, text := range f.inviteTo {
		role, email, _ := strings.Cut(text, ":")
		if err := checkInvited(role, email); err != nil {
			return usagef("--invite-to is a role, or a role and an address such as auditor:bo@example.com: %v", err)
		}
		f.Invitees = append(f.Invitees, invitee{Role: role, Email: email, Life: f.inviteLife})
	}
	return nil
}

// askInvitees asks for people until there are no more.
func (j *journey) askInvitees(q *asker) error {
	var all []invitee
	for {
		one := invitee{Life: defaultInvitation}
		question := "Invite somebody, as " + builtinRoles + " or a role of your own"
		if len(all) > 0 {
			question = "Invite somebody else, as"
		}
		err := q.line(question, none, func(answer string) error {
			if one.Role = answer; !wants(answer) {
				return nil
			}
			return checkInvited(answer, "")
		})
		if err != nil {
			return err
		}
		if !wants(one.Role) {
			j.saved.Answers.Invitees = all
			return nil
		}
		err = q.line("  Address to mail the link to; the link is shown either way", none, func(answer string) error {
			one.Email = strings.TrimPrefix(answer, none)
			return checkInvited(one.Role, one.Email)
		})
		if err != nil {
			return err
		}
		err = q.line("  How long the link works, such as 48h", "168h", func(answer string) error {
			life, err := time.ParseDuration(answer)
			if err != nil || life <= 0 || life > invite.MaxLife {
				return usagef("a time such as 48h, at most 720h (30 days)")
			}
			one.Life = life
			return nil
		})
		if err != nil {
			return err
		}
		all = append(all, one)
	}
}

// invitationDraft is an invitation whose id is chosen before it is made, so that it is
// made once whatever is cut off. Its secrets follow from the id and the key file.
type invitationDraft struct {
	invitee

	ID   string `json:"id"`
	Time string `json:"time"`
}

const draftDomain = "logline.onboarding.invitation.v1\n"

// draw is the same again for the same draft: what its secrets are made of.
func (d *invitationDraft) draw(secret []byte) []byte {
	var out []byte
	for i := byte(0); len(out) < invite.SecretSize+invite.SeedSize; i++ {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(draftDomain + d.ID))
		mac.Write([]byte{i})
		out = mac.Sum(out)
	}
	return out
}

// whole is the invitation itself.
func (d *invitationDraft) whole(secret []byte) (newInvitation, error) {
	if len(secret) == 0 {
		return newInvitation{}, fault.New(fault.Invalid, "invite_key", "this key file is of a device or a ghost, which invites nobody; leave out --invite-to")
	}
	at, err := span.ParseTime(d.Time)
	if err != nil {
		return newInvitation{}, err
	}
	told := invite.Told{Invitation: d.ID, Role: d.Role, Expires: span.FormatTime(at.Add(d.Life))}
	return draftInvitation(told, d.Email, at, strings.NewReader(string(d.draw(secret))))
}

// undrafted are the people to invite that no run has drafted an invitation for.
func (j *journey) undrafted() (left []invitee) {
	drafts := slices.Clone(j.saved.Drafts)
	for _, one := range j.saved.Answers.Invitees {
		i := slices.IndexFunc(drafts, func(d invitationDraft) bool { return d.invitee == one })
		if i < 0 {
			left = append(left, one)
			continue
		}
		drafts = slices.Delete(drafts, i, i+1)
	}
	return left
}

// redraw gives a draft its id and time.
func (j *journey) redraw(d *invitationDraft) (err error) {
	now := j.env.Now()
	d.Time = span.FormatTime(now)
	d.ID, err = span.RandomID(now, rand.Reader)
	return err
}

// invitations invites whom the answers name. In a tenant that was joined it is no step.
func (j *journey) invitations(ctx context.Context) error {
	for _, one := range j.undrafted() {
		d := invitationDraft{invitee: one}
		if err := j.redraw(&d); err != nil {
			return err
		}
		j.saved.Drafts = append(j.saved.Drafts, d)
	}
	if len(j.saved.Drafts) == 0 {
		return j.put(ctx, "invitations", client.OnboardingInvitations{Skip: true})
	}
	if err := j.save(); err != nil {
		return err
	}
	list, err := j.client.Invitations(ctx, j.p.Tenant)
	if err != nil {
		return err
	}
	there := map[string]*client.Invitation{}
	for i := range list {
		there[list[i].Id] = &list[i]
	}
	j.invited = nil
	for i := range j.saved.Drafts {
		made, err := j.invite(ctx, &j.saved.Drafts[i], there)
		if err != nil {
			return err
		}
		j.invited = append(j.invited, made)
	}
	return j.put(ctx, "invitations", client.OnboardingInvitations{Done: true})
}

// invite makes one, unless it is over. One that is open is asked for again: that says
// where its link begins, and has mailed what was not.
func (j *journey) invite(ctx context.Context, d *invitationDraft, there map[string]*client.Invitation) (*client.Invitation, error) {
	known := there[d.ID]
	if known != nil && known.State != invite.Open {
		return known, nil
	}
	whole, err := d.whole(j.keys.Secret())
	if err == nil && known == nil && whole.told.Expires <= span.FormatTime(j.env.Now()) { // a run of long ago got no further
		if err = j.redraw(d); err == nil {
			err = j.save()
		}
		if err == nil {
			whole, err = d.whole(j.keys.Secret())
		}
	}
	if err != nil {
		return nil, err
	}
	s := &session{env: j.env, profile: j.p, all: j.all, keys: j.keys, client: j.client, passphrase: j.passphrase}
	return s.sendInvitation(ctx, whole)
}

// link is that of an invitation that can be accepted, "" for any other.
func (j *journey) link(i int) (string, error) {
	if j.invited[i].State != invite.Open {
		return "", nil
	}
	whole, err := j.saved.Drafts[i].whole(j.keys.Secret())
	if err != nil {
		return "", err
	}
	return invite.Link(firstOf(j.invited[i].Page, j.p.URL), whole.token), nil
}

func (j *journey) invitedJSON() ([]map[string]any, error) {
	var out []map[string]any
	for i, made := range j.invited {
		link, err := j.link(i)
		if err != nil {
			return nil, err
		}
		one := map[string]any{"invitation": made}
		if link != "" {
			one["link"] = link
		}
		out = append(out, one)
	}
	return out, nil
}

// toldInvited prints the links, which are not shown again, and what became of mails.
func (j *journey) toldInvited() error {
	if len(j.invited) == 0 {
		return nil
	}
	fmt.Fprintln(j.env.Stdout, "\nInvited. The links are not shown again; whoever has one can take its role:")
	for i, made := range j.invited {
		link, err := j.link(i)
		if err != nil {
			return err
		}
		fmt.Fprintf(j.env.Stdout, "%s until %s%s\n", made.Role, made.Expires, j.mailed(i))
		fmt.Fprintf(j.env.Stdout, "  %s\n", firstOf(link, string(made.State)+" already"))
	}
	return nil
}

// mailed says what became of an invitation's mail.
func (j *journey) mailed(i int) string {
	switch to, made := j.saved.Drafts[i].Email, j.invited[i]; {
	case to == "":
		return ""
	case made.MailProblem != "":
		return fmt.Sprintf(", not mailed to %s: %s", ui.Clean(to), ui.Clean(made.MailProblem))
	default:
		return ", mailed to " + ui.Clean(to)
	}
}
