package main

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/text/unicode/norm"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/template"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// typeIdentityCreated says in a tenant that one of its members made an identity.
const typeIdentityCreated = "identity.created"

func newCreateCmd(env *environment) *cobra.Command {
	return group("create", "Make an identity or a tenant, whole",
		"Make an identity and register it, or make a tenant that is yours.",
		newCreateIdentityCmd(env), newCreateTenantCmd(env))
}

func newCreateIdentityCmd(env *environment) *cobra.Command {
	var made newProfile
	var token onboardFlags
	var name, handle, as string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "identity --name NAME --handle HANDLE",
		Short: "Make an identity, save it as a profile, and register it at the node",
		Long: `Make an identity (a key file, protected by a passphrase), save it as a profile named
like its handle, and register it at the node with its name and handle. Where
registration is closed, the bootstrap token of a new node lets its first one in.

Where the current profile has a tenant, its identity records there that the new one
was made: an identity.created span with the LogLine ID, and neither name nor handle.

When it is interrupted, run it again: it continues with the key it made.`,
		Example: `  logline create identity --name "Ana Lima" --handle ana`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			handle = strings.TrimPrefix(handle, "@")
			if handle == "" || strings.TrimSpace(name) == "" {
				return usagef("--name and --handle are needed, such as --name \"Ana Lima\" --handle ana")
			}
			if !profileName.MatchString(handle) { // handles have the same letters
				return usagef("--handle %q must be lower-case letters, digits, dots, dashes and underscores, at most 63", ui.Clean(handle))
			}
			all, err := loadProfiles(env)
			if err != nil {
				return err
			}
			recorder, _ := all.find(firstOf(env.Getenv("LOGLINE_PROFILE"), all.Current))
			chosen := firstOf(made.url, env.Getenv("LOGLINE_URL"))
			made.url = firstOf(chosen, recorder.URL)
			p, keys, err := made.orFind(env, all, firstOf(as, handle))
			if err != nil {
				return err
			}
			if p.Node, err = nodeAt(cmd.Context(), env, p, chosen); err != nil {
				return err
			}
			if err := all.put(p, false); err != nil {
				return err
			}
			p.URL, recorder.URL = firstOf(chosen, p.URL), firstOf(chosen, recorder.URL)
			c, err := dial(env, p, keys)
			if err != nil {
				return err
			}
			find := func() (string, error) { return token.findToken(env) }
			info, created, err := makeKnown(cmd.Context(), c, keys, find, handle, name)
			if err != nil {
				return err
			}
			told, err := recordIdentity(cmd, env, &recorder, &p, keys)
			if err != nil {
				err = fmt.Errorf("%s is registered, and the tenant %s was not told of it (run this again to try once more): %w",
					info.Id, firstOf(recorder.Slug, recorder.Tenant), err)
			}
			return firstError(err, printCreated(env, &p, info, created, told, asJSON))
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "its name in the node's directory, which can be erased (required)")
	cmd.Flags().StringVar(&handle, "handle", "", "its @handle in the node's directory (required)")
	cmd.Flags().StringVar(&as, "as", "", "name of the profile to make (default: the handle)")
	made.register(cmd)
	token.registerToken(cmd)
	registerJSON(cmd, &asJSON)
	return cmd
}

// nodeAt is the LogLine ID of the profile's node: the one that it knows, else of
// whoever answers at the URL that was chosen, or at its own.
func nodeAt(ctx context.Context, env *environment, p profile, chosen string) (string, error) {
	if p.Node != "" {
		return p.Node, nil
	}
	p.URL = firstOf(chosen, p.URL)
	c, err := dial(env, p, nil)
	if err != nil {
		return "", err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return "", err
	}
	return node.Id, nil
}

// printCreated says what was made, and which entry of the tenant tells of it.
func printCreated(env *environment, p *profile, info *client.Identity, created bool, told *step, asJSON bool) error {
	if asJSON {
		out := struct {
			Profile  *profile         `json:"profile"`
			Identity *client.Identity `json:"identity"`
			Created  bool             `json:"created"`
			Recorded *stepFacts       `json:"recorded,omitempty"`
		}{Profile: p, Identity: info, Created: created}
		if told != nil {
			recorded := told.facts()
			out.Recorded = &recorded
		}
		return printJSON(env.Stdout, out)
	}
	words := "Registered %s at %s.\n"
	if !created {
		words = "%s was known at %s already.\n"
	}
	fmt.Fprintf(env.Stdout, words, info.Id, p.URL)
	facts(env.Stdout, "name", info.Name, "handle", "@"+info.Handle, "subject", string(info.Subject), "key file", p.KeyFile, "profile", p.Name)
	if told != nil {
		fmt.Fprintf(env.Stdout, "Recorded in the tenant of the current profile, entry %d: %s\n", told.seq, told.id)
	}
	return nil
}

// recordIdentity has the recorder's identity say in its tenant that p's was made;
// nil where the recorder has no tenant at that node, or is p itself.
func recordIdentity(cmd *cobra.Command, env *environment, recorder, p *profile, keys *id.Keys) (*step, error) {
	if recorder.Tenant == "" || recorder.KeyFile == "" || recorder.Name == p.Name || recorder.URL != p.URL {
		return nil, nil
	}
	s, err := (&clientFlags{profile: recorder.Name, url: p.URL}).openTenant(env)
	if err != nil {
		return nil, err
	}
	a, err := newSteps(cmd.Context(), s)
	if err != nil {
		return nil, err
	}
	payload, err := span.Canonical(struct {
		Identity string `json:"identity"`
		Subject  string `json:"subject"`
	}{keys.ID(), keys.Subject()})
	if err != nil {
		return nil, err
	}
	told := a.add(template.Draft{Type: typeIdentityCreated, Title: "An identity was made", Subject: keys.ID(),
		Visibility: span.VisibilityOrganization, Payload: payload}, typeIdentityCreated, keys.ID())
	if err := a.sign(cmd); err != nil {
		return nil, err
	}
	return told, nil
}

func newCreateTenantCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var token onboardFlags
	var name, slug string
	var publicReading bool
	cmd := &cobra.Command{
		Use:   "tenant --name NAME",
		Short: "Make a tenant that your identity owns, and choose it",
		Long: `Make a tenant owned by the profile's identity, and make it the profile's tenant. Its
first entry, signed by the node, says whose it is. The first tenant of a node takes its
bootstrap token; later ones are made by whom the node's configuration allows.`,
		Example: `  logline create tenant --name "Acme Lda"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.TrimSpace(name) == "" {
				return usagef("--name is needed, such as --name \"Acme Lda\"")
			}
			if slug == "" {
				if slug = slugOf(name); slug == "" {
					return usagef("%q makes no slug; give one with --slug: lower-case letters, digits and dashes", ui.Clean(name))
				}
			}
			return createTenant(cmd, env, &flags, client.NewTenant{Slug: slug, Name: name, PublicReading: publicReading},
				func() (string, error) { return token.findToken(env) })
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&name, "name", "", "its name for people (required)")
	cmd.Flags().StringVar(&slug, "slug", "", "what the node calls it (default: the name in lower-case letters, digits and dashes)")
	token.registerToken(cmd)
	registerPublicReading(cmd, &publicReading)
	return cmd
}

// slugOf is a name as a slug: lower-case letters and digits without their accents,
// a dash for whatever stands between them. It is "" where nothing is left, and
// where what is left is no slug.
func slugOf(name string) string {
	const most = 63
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		switch r = unicode.ToLower(r); {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // the accent of the letter before it
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() == most {
			break
		}
	}
	if slug := strings.TrimRight(b.String(), "-"); span.ValidSlug(slug) {
		return slug
	}
	return ""
}
