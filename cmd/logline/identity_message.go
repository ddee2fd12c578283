package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func newIdentitySignMessageCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "sign-message FILE|-",
		Short: "Sign a message with your primary key; it goes to no node",
		Long: `Signs "logline.message.v1" and the bytes of FILE (- for standard input), at most
64 KiB, and prints the signature. Anybody checks it with identity verify-message.`,
		Example: "  logline identity sign-message letter.txt > letter.sig",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			message, err := readMessage(env, args[0])
			if err != nil {
				return err
			}
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			signer := s.keys.Signer()
			signature := span.B64(signer.Sign(id.Message(message)))
			if flags.json {
				return printJSON(env.Stdout, map[string]string{"identity": s.keys.ID(), "key": signer.Public(), "signature": signature})
			}
			fmt.Fprintln(env.Stdout, signature)
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}

func newIdentityVerifyMessageCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var who, key, signature string
	cmd := &cobra.Command{
		Use:   "verify-message FILE|- --signature SIGNATURE",
		Short: "Ask the node whether an identity signed a message; exit 1 when it did not",
		Example: `  logline identity verify-message letter.txt --by @ana --signature @letter.sig
  logline identity verify-message - --key <public key> --signature … < letter.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			message, err := readMessage(env, args[0])
			if err != nil {
				return err
			}
			if file, ok := strings.CutPrefix(signature, "@"); ok {
				text, err := os.ReadFile(file)
				if err != nil {
					return fileError("read", file, err)
				}
				signature = string(text)
			}
			s, err := flags.open(env)
			if err != nil {
				return err
			}
			bytes := span.B64(message)
			check := client.SignatureCheck{Key: key, Signature: strings.TrimSpace(signature), MessageB64u: &bytes}
			if who != "" {
				if check.Identity, err = s.identityID(cmd.Context(), who); err != nil {
					return err
				}
			} else if key == "" && s.keys != nil {
				check.Identity = s.keys.ID()
			}
			verdict, err := s.client.VerifySignature(cmd.Context(), check)
			if err != nil {
				return err
			}
			if flags.json {
				err = printJSON(env.Stdout, verdict)
			} else if verdict.Valid {
				facts(env.Stdout, "valid", "yes", "identity", verdict.Identity, "key", verdict.Key, "label", verdict.Label)
			}
			if err == nil && !verdict.Valid {
				err = fault.Newf(fault.Invalid, "signature_"+string(verdict.Reason), "the signature is not valid: %s", verdictWords(verdict))
			}
			return err
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&who, "by", "", "the identity, as ID or @handle (default: your own, unless --key is given)")
	cmd.Flags().StringVar(&key, "key", "", "the public key")
	cmd.Flags().StringVar(&signature, "signature", "", "the signature, or @FILE that holds it (required)")
	_ = cmd.MarkFlagRequired("signature") // the flag exists
	return cmd
}

func verdictWords(v *client.Verdict) string {
	words := map[string]string{
		id.ReasonFormer:          "its key was the identity's once; a rotation replaced it",
		id.ReasonRevoked:         "its key, or the identity, was revoked",
		id.ReasonExpired:         "its key has expired",
		id.ReasonUnknownKey:      "its key is none of the identity's",
		id.ReasonUnknownIdentity: "the node knows no such identity",
		id.ReasonMismatch:        "it is not over this message, or by another key",
	}
	return firstOf(words[string(v.Reason)], string(v.Reason))
}

// readMessage reads a message whole.
func readMessage(env *environment, path string) ([]byte, error) {
	in := env.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fileError("read", path, err)
		}
		defer f.Close()
		in = f
	}
	message, err := io.ReadAll(io.LimitReader(in, id.MaxMessageBytes+1))
	if err != nil {
		return nil, fileError("read", path, err)
	}
	if len(message) > id.MaxMessageBytes {
		return nil, usagef("%s has more than %d bytes; sign its hash instead", path, id.MaxMessageBytes)
	}
	return message, nil
}
