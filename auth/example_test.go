package auth_test

import (
	"context"
	"fmt"

	"github.com/edda-io/edda/auth"
)

// A token that may call two services. Over HTTP the authenticator is
// httpgw.Options.Authenticator; any other gateway asks like this.
func Example() {
	hash, err := auth.HashToken("a-random-token")
	if err != nil {
		fmt.Println(err)
		return
	}
	authenticator, err := auth.NewTokens(auth.Token{
		Principal: "billing", SHA256: hash, Rights: auth.Rights{Call: []auth.Pattern{"users", "shop:*"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, shown := range []string{"Bearer a-random-token", "Bearer another"} {
		credential, err := auth.Read([]string{shown}, nil)
		if err != nil {
			fmt.Println(err)
			continue
		}
		grant, err := auth.Admit(context.Background(), authenticator, credential)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(grant.Principal, grant.CheckCall("shop", "orders"), grant.CheckCall("", "accounts"))
	}
	// Output:
	// billing <nil> "billing" may not call accounts
	// the credentials are not valid
}

// An authenticator of one's own: whoever comes with a certificate of the right
// kind may do everything, and others are asked for elsewhere.
func ExampleFunc() {
	byDepartment := auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
		if c.Certificate == nil || len(c.Certificate.Subject.OrganizationalUnit) == 0 {
			return nil, auth.ErrUnknown
		}
		if c.Certificate.Subject.OrganizationalUnit[0] != "operations" {
			return nil, auth.ErrUnknown
		}
		return &auth.Grant{Principal: "operations", Rights: auth.Everything(), Expires: c.Certificate.NotAfter}, nil
	})
	_, err := auth.Admit(context.Background(), auth.FirstOf(byDepartment), auth.Credential{})
	fmt.Println(err)
	// Output: Authorization: Bearer is missing
}
