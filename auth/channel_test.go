package auth_test

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

func TestChannelRights(t *testing.T) {
	everyStream := []auth.Pattern{"*:*"}
	publisher := &auth.Grant{Principal: "ada", Rights: auth.Rights{Publish: []auth.Pattern{"room", "shop:*"}, Append: everyStream, Read: everyStream}}
	listener := &auth.Grant{Principal: "bob", Rights: auth.Rights{Subscribe: []auth.Pattern{"room", "shop:*"}, Call: everyStream}}
	manager := &auth.Grant{Principal: "eve", Rights: auth.Rights{Manage: true}}
	anybody := &auth.Grant{Principal: "zoe", Rights: auth.Everything()}
	stranger := &auth.Grant{Principal: "tom", Rights: auth.Rights{Append: everyStream, Read: everyStream, Call: everyStream, Host: everyStream}}
	for name, tc := range map[string]struct {
		check   func(g *auth.Grant, namespace, channel string) error
		may     []*auth.Grant
		refused string
	}{
		"publish":   {(*auth.Grant).CheckPublish, []*auth.Grant{publisher, anybody}, `"tom" may not publish to shop:room`},
		"subscribe": {(*auth.Grant).CheckSubscribe, []*auth.Grant{listener, manager, anybody}, `"tom" may not subscribe to shop:room`},
		"see": {
			(*auth.Grant).CheckSeeChannel, []*auth.Grant{publisher, listener, manager, anybody},
			`"tom" may neither publish nor subscribe to shop:room`,
		},
	} {
		may := map[*auth.Grant]bool{}
		for _, g := range tc.may {
			may[g] = true
		}
		for _, g := range []*auth.Grant{publisher, listener, manager, anybody, stranger} {
			for _, namespace := range []string{"shop", ""} {
				if err := tc.check(g, namespace, "room"); (err == nil) != may[g] {
					t.Errorf("%s in %q by %s: got %v, want it allowed: %v", name, namespace, g.Principal, err, may[g])
				}
			}
		}
		wantReason(t, name, tc.check(stranger, "shop", "room"), edda.NotAllowed, tc.refused)
	}
	for _, g := range []*auth.Grant{publisher, listener} {
		if g.MaySeeChannel("", "rooms") || g.MaySeeChannel("other", "room") {
			t.Errorf("%s sees a channel that nobody named", g.Principal)
		}
	}
}

func TestChannelPatternsAreValidated(t *testing.T) {
	for name, r := range map[string]auth.Rights{"publish": {Publish: []auth.Pattern{"a b"}}, "subscribe": {Subscribe: []auth.Pattern{":"}}} {
		wantReason(t, name, r.Validate(), edda.BadValue, "pattern")
	}
}
