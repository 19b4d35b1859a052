package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/examples/createuser/party"
)

// User is what the command create.user is about.
type User struct {
	ID    string `json:"user_uuid"`
	Email string `json:"email"`
	Name  string `json:"name"`
	Ref   string `json:"ref,omitempty"` // what the third party calls the user
}

// Entry is a line of somebody's list of friends.
type Entry struct {
	ID     string `json:"entry_uuid"`
	UserID string `json:"user_uuid"`
	Friend string `json:"friend"`
}

var (
	users = cqrs.NewModel(cqrs.ModelOptions[User]{Name: "User", Key: []string{"user_uuid"}, Before: []func(*User) error{
		func(u *User) error {
			if u.ID == "" {
				u.ID = uuid.NewString()
			}
			return nil
		},
	}})
	entries = cqrs.NewModel(cqrs.ModelOptions[Entry]{Name: "FriendListEntry", Key: []string{"entry_uuid"}, Before: []func(*Entry) error{
		func(e *Entry) error {
			if e.ID == "" {
				e.ID = uuid.NewString()
			}
			return nil
		},
	}})
)

// created is the type of the event that a user was created. Its parameter is filled in from
// the data: user.42.created.
const created = "user.:user_uuid.created"

// flow is what happens when a user is created.
type flow struct {
	party party.Client
	// trouble has steps go wrong.
	trouble *trouble
	// timeout is of an attempt of each hook and strong handler; the default when zero.
	timeout time.Duration
}

// broadcaster says all of it: what commands there are, and what runs on them and on their events.
func (f *flow) broadcaster() *cqrs.Broadcaster {
	b := cqrs.NewBroadcaster("users")
	b.Command(cqrs.CommandSpec{Type: "create.user", Event: created, Model: users, Calls: []cqrs.Call{{
		Name: "join", Do: f.join, Undo: f.redact,
		Timeout: 5 * time.Second, Retry: edda.RetryPolicy{Max: 3},
	}}})
	b.Command(cqrs.CommandSpec{Type: "create.friend_list_entry", Event: "friend_list_entry.created", Model: entries})
	b.Validator("create.user", cqrs.Check(validUser))
	b.Validator("create.friend_list_entry", cqrs.Check(validEntry))

	// Before the transaction: is the email free, the call to the third party, and its answer.
	b.Hook("User.isUnique", f.isUnique, cqrs.On("create.user", cqrs.Config{Lifecycle: cqrs.Before, Timeout: f.timeout}))
	b.Hook("User.addRef", f.addRef, cqrs.On("create.user", cqrs.Config{
		Lifecycle: cqrs.After, ExpectsResponse: cqrs.Objects{"User"}, Merge: cqrs.Merge{True: true}, Timeout: f.timeout,
	}))

	// In it: all of this, or none.
	b.Projector("Profile.save", cqrs.Projects(f.saveProfile), []cqrs.Table{"profiles"}, cqrs.On(created, cqrs.Config{Priority: 1, Timeout: f.timeout}))
	b.Processor("FriendList.begin", f.beginFriendList, cqrs.On(created, cqrs.Config{
		Priority: 2, ExpectsInput: cqrs.Objects{"User"}, DispatchesCommand: "create.friend_list_entry",
		ExpectsResponse: cqrs.Objects{"FriendListEntry"}, Merge: cqrs.Merge{As: "first_friend"}, Timeout: f.timeout,
	}))
	b.Projector("FriendListEntry.save", cqrs.Projects(saveEntry), []cqrs.Table{"friend_list_entries"},
		cqrs.On("friend_list_entry.created", cqrs.Config{Priority: 1}))
	b.Projector("FriendList.save", saveFriendList, []cqrs.Table{"friend_lists"}, cqrs.On(created, cqrs.Config{Priority: 3}))
	b.Projector("Invitation.save", f.saveInvitation, nil, cqrs.On(created, cqrs.Config{}))

	// After it: pages hear of it, and a line goes into a log, once, though both patterns match.
	b.Channel(cqrs.ChannelSpec{Name: "users", Events: []string{"user.*"}})
	b.Projector("Logger.log", f.log, nil,
		cqrs.On("user.*", cqrs.Config{Consistency: cqrs.Eventual, ExpectsInput: cqrs.Objects{"*"}}),
		cqrs.On(created, cqrs.Config{Consistency: cqrs.Eventual}))
	return b
}

func validUser(u *User) error {
	switch name, host, _ := strings.Cut(u.Email, "@"); {
	case name == "" || host == "":
		return errors.New(`email must be like "ada@example.com"`)
	case strings.TrimSpace(u.Name) == "":
		return errors.New("name must not be empty")
	}
	return nil
}

func validEntry(e *Entry) error {
	if e.UserID == "" || e.Friend == "" {
		return errors.New("user_uuid and friend must not be empty")
	}
	return nil
}

// isUnique refuses an email that somebody has. Two who ask for it at the same time both get
// past it; then the profile of the second is refused by the table.
func (f *flow) isUnique(ctx context.Context, q cqrs.Querier, c *cqrs.Command) (cqrs.Data, error) {
	if err := f.trouble.at(ctx, "before", c.Metadata); err != nil {
		return cqrs.Data{}, err
	}
	var u User
	if err := c.Data.Decode(&u); err != nil {
		return cqrs.Data{}, err
	}
	var taken int
	switch err := q.QueryRowContext(ctx, "SELECT 1 FROM profiles WHERE email = $1", u.Email).Scan(&taken); {
	case errors.Is(err, sql.ErrNoRows):
		return cqrs.Data{}, nil
	case err != nil:
		return cqrs.Data{}, err
	}
	return cqrs.Data{}, edda.Final("EMAIL_TAKEN", "%s is somebody's already", u.Email)
}

// joined is what the call to the third party comes back with.
type joined struct {
	Ref string `json:"ref"`
}

// join tells the third party. It may be run again, so it says under which id.
func (f *flow) join(ctx context.Context, c *cqrs.Called) (any, error) {
	if err := f.trouble.at(ctx, "call", c.Metadata); err != nil {
		return nil, err
	}
	var u User
	if err := json.Unmarshal(c.Data, &u); err != nil {
		return nil, err
	}
	ref, err := f.party.Join(ctx, c.ID, u.Name)
	if err != nil {
		return nil, err
	}
	// Now the third party knows, and nobody else does.
	return joined{ref}, f.trouble.at(ctx, "called", c.Metadata)
}

// redact takes back what join said, when anything after it fails.
func (f *flow) redact(ctx context.Context, c *cqrs.Called) error {
	return f.party.Redact(ctx, c.ID)
}

// addRef puts the third party's reference into the user.
func (f *flow) addRef(ctx context.Context, _ cqrs.Querier, c *cqrs.Command) (cqrs.Data, error) {
	if err := f.trouble.at(ctx, "after", c.Metadata); err != nil {
		return cqrs.Data{}, err
	}
	var u User
	if err := c.Data.Decode(&u); err != nil {
		return cqrs.Data{}, err
	}
	var answer joined
	if err := json.Unmarshal(c.Calls["join"], &answer); err != nil {
		return cqrs.Data{}, err
	}
	u.Ref = answer.Ref
	return users.Stage(u)
}

// saveProfile is the first projection.
func (f *flow) saveProfile(ctx context.Context, tx *cqrs.Tx, e *cqrs.Event, u *User) error {
	if err := f.trouble.at(ctx, "profile", e.Metadata); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+tx.Table("profiles")+" (user_uuid, email, name, ref) VALUES ($1, $2, $3, $4)", u.ID, u.Email, u.Name, u.Ref)
	return err
}

// saveInvitation has the commit fail, and nothing before it, when that is wished for: by an
// invitation of a host that there is not.
func (f *flow) saveInvitation(ctx context.Context, tx *cqrs.Tx, e *cqrs.Event) (cqrs.Data, error) {
	if !f.trouble.wants("commit", e.Metadata) {
		return cqrs.Data{}, nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO invitations (user_uuid, host) VALUES ($1, 'nobody')", e.Key)
	return cqrs.Data{}, err
}

// beginFriendList is a processor: it makes a command of the event, whose event is stored with it.
func (f *flow) beginFriendList(ctx context.Context, _ cqrs.Querier, e *cqrs.Event) (*cqrs.Command, error) {
	if err := f.trouble.at(ctx, "friends", e.Metadata); err != nil {
		return nil, err
	}
	entry, err := entries.Stage(Entry{UserID: e.Key, Friend: "Edda"})
	return &cqrs.Command{Type: "create.friend_list_entry", Data: entry}, err
}

func saveEntry(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, n *Entry) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+tx.Table("friend_list_entries")+" (entry_uuid, user_uuid, friend) VALUES ($1, $2, $3)", n.ID, n.UserID, n.Friend)
	return err
}

// saveFriendList is the last projection, and finds what the processor before it brought about.
func saveFriendList(ctx context.Context, tx *cqrs.Tx, e *cqrs.Event) (cqrs.Data, error) {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+tx.Table("friend_lists")+" (user_uuid, friends) SELECT $1, count(*) FROM "+
		tx.Table("friend_list_entries")+" WHERE user_uuid = $1", e.Key)
	return cqrs.Data{}, err
}

// log is eventual: it has a transaction of its own, after the command's.
func (f *flow) log(ctx context.Context, tx *cqrs.Tx, e *cqrs.Event) (cqrs.Data, error) {
	_, err := tx.ExecContext(ctx, "INSERT INTO log (event_uuid, line) VALUES ($1, $2)", e.ID.String(), e.Type+" by "+e.CorrelationType)
	return cqrs.Data{}, err
}
