// Package invite brings people into tenants that are there: an owner or an admin
// invites, and whoever has the link takes the role, once.
//
// A role is granted by who grants, also here. The inviter delegates to a new key
// the right to sign logline.member, and seals that key under the invitation's
// token, which the node first sees when somebody accepts: it opens the key, signs
// that one grant as the inviter, and destroys the sealed key in the transaction
// that marks the invitation as used. Whether the grant holds, the timeline judges:
// an inviter who has lost the right gives nothing. For inviters whose keys are in
// the node's custody the node signs with those.
//
// The package owns invitations and what is sealed in them; it keeps neither
// addresses nor names, and decides nothing about roles.
package invite
