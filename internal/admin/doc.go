// Package admin keeps the node's admin timeline: what operators did to the node,
// signed by the node, in a timeline that the node itself owns and that is exported,
// proven and verified like every other. It owns what an act is, how acts that could
// not be told yet wait in the database, and who the operators are: those who hold
// the role owner or admin in that timeline.
//
// It does no act itself, and knows neither HTTP nor how spans are signed.
package admin
