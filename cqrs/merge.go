package cqrs

import "github.com/edda-io/edda/cqrs/internal/merge"

// Merge says how a result is put into data. The zero value does not. At most one of True,
// As, Push and Zip may be set; Include goes with any.
//
// A result that is nothing, or null, changes nothing.
type Merge struct {
	// True merges the members of the result: those of one object into one object, or those
	// of a list's items into the items at the same place of a list as long.
	True bool
	// As puts the result under this member of the object.
	As string
	// Push appends the result, or its items if it is a list, to the list that is this member
	// of the object. The member may be missing, or null.
	Push string
	// Zip merges the items of a list into those of the data that have the same value of
	// this member, a string or a number. Each item must find exactly one.
	Zip string
	// Each does what True, As or Push says, or True if nothing is said, to each item of a
	// list: with the item at the same place of a result that is a list as long, or with the
	// same object each time. With one object, it says nothing.
	Each bool
	// Include puts the result beside the data: into Event.Includes under this name; "*" is
	// the object's.
	Include string
}

// UnmarshalJSON reads what spool-broadcast has as "data" and "metadata":
//
//	{"merge": true}                    {"merge": {"as": "profile"}}
//	{"merge": {"each": true}}          {"merge": {"as": "profile", "each": true}}
//	{"push": {"on": "friends"}}        {"push": {"on": "friends", "each": true}}
//	{"zip": {"on": "user_uuid"}}       {"include": true}    {"include": {"as": "other"}}
func (m *Merge) UnmarshalJSON(b []byte) error { return (*merge.How)(m).UnmarshalJSON(b) }

// MarshalJSON writes what UnmarshalJSON reads.
func (m Merge) MarshalJSON() ([]byte, error) { return merge.How(m).MarshalJSON() }

// takenMetadata are names that are the app's.
var takenMetadata = []string{"changes", "previous", "hooks", "principal"}
