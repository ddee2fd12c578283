package memindex

// name stands for a text that many entries share.
type name uint32

// names holds each text once. The zero name is "".
type names struct {
	texts []string
	known map[string]name
}

func newNames() names { return names{texts: []string{""}, known: map[string]name{"": 0}} }

func (n *names) of(text string) name {
	if known, ok := n.known[text]; ok {
		return known
	}
	fresh := name(len(n.texts))
	n.texts = append(n.texts, text)
	n.known[text] = fresh
	return fresh
}

func (n *names) text(of name) string { return n.texts[of] }
