package wsgw_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/coder/websocket"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

func Example() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{Durability: edda.Memory, Services: examples.Services()})
	if err != nil {
		fmt.Println(err)
		return
	}
	live, err := wsgw.New(n, wsgw.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	gateway, err := httpgw.New(n, httpgw.Options{Live: live})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(gateway) // in a program of your own: httpgw.NewServer

	url := "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/live"
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{wsgw.Subprotocol}})
	if err != nil {
		fmt.Println(err)
		return
	}
	call := `{"op":"call","ref":1,"service":"counter","key":"visits","method":"add","data":{"n":1}}`
	if err := ws.Write(ctx, websocket.MessageText, []byte(call)); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 { // the acknowledgement, then the reply
		_, frame, err := ws.Read(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		if strings.HasPrefix(string(frame), `{"op":"reply"`) {
			fmt.Println(string(frame))
		}
	}
	_ = ws.Close(websocket.StatusNormalClosure, "")

	if err := live.Drain(ctx); err != nil { // before the node stops
		fmt.Println(err)
	}
	server.Close()
	if err := n.Stop(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: {"op":"reply","ref":1,"status":200,"contentType":"application/json","attempts":1,"data":{"value":1}}
}
