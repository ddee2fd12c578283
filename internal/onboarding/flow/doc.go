// Package flow keeps onboarding sessions: what of bringing one person in is done,
// step by step, durable and by any of the node's processes. It is the one state
// machine of all roads: the wizard in the terminal and the page are clients of it.
//
// A step's effect is another module's (the directory, the first tenant, timelines)
// and harmless to repeat; that the step is done is noted afterwards, in one
// transaction with the act that the node's admin timeline will tell of. So whatever
// is cut off is asked again as it was, and ends in the same state.
//
// It believes nobody that a span stands: it looks. It knows neither HTTP nor how
// credentials are checked, and keeps no name, no address and no credential.
package flow
