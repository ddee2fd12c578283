// Package lll is the document layer of the contract language: it reads any
// .lll file into a tree of attributes, blocks, statements and bare texts, and
// writes the tree back in one canonical style.
//
// It knows the words of a contract (vocabulary.go) as far as reading needs
// them: inside the blocks of a contract that are executed a missing colon and
// an unknown word are errors, elsewhere everything is data. What the words
// mean, which types expressions have and what is decided is not known here;
// an expression is the exact slice of the source and where it stands.
//
// Reading is pure, takes time in proportion to the source, and is bounded by
// MaxBytes, MaxTokens and MaxDepth. It never fails without a Diagnostic, and
// always returns what it understood.
package lll
