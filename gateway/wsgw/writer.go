package wsgw

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/coder/websocket"
)

// put adds an answer and has it written, unless the connection is being closed. The caller
// holds mu.
func (c *conn) put(a answer) {
	if c.keep(a) {
		c.wake()
	}
}

// keep adds an answer for whoever writes next, unless the connection is being closed. The
// caller holds mu.
func (c *conn) keep(a answer) bool {
	if c.shuts != nil || c.over {
		return false
	}
	c.out = append(c.out, a)
	c.outBytes += len(a)
	return true
}

// say adds an answer.
func (c *conn) say(a answer) {
	c.mu.Lock()
	c.put(a)
	c.mu.Unlock()
}

// waitForRoom waits until few enough answers wait to be written. It is false when the
// connection ends.
func (c *conn) waitForRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.outBytes > c.g.opts.MaxBuffered && c.shuts == nil && !c.over {
		c.room.Wait()
	}
	return c.shuts == nil && !c.over
}

// wake has what waits be written. The caller holds mu.
func (c *conn) wake() {
	if !c.writing && !c.over {
		c.writing = true
		c.tasks.Go(c.write)
	}
}

// write writes until there is nothing to write: answers first, then the subscriptions in
// turns.
func (c *conn) write() {
	for {
		c.mu.Lock()
		answers := c.out
		c.out, c.spare = c.spare, nil
		ready := c.ready
		c.ready, c.turns = c.turns[:0], nil
		if c.shuts != nil {
			ready = nil
		}
		if len(answers) == 0 && len(ready) == 0 {
			c.spare, c.turns = answers, ready
			shuts := c.shuts
			c.writing = shuts != nil
			c.mu.Unlock()
			if shuts != nil {
				c.close(shuts)
			}
			return
		}
		c.mu.Unlock()
		err := c.writeAnswers(answers)
		for _, s := range ready {
			if err != nil || c.isShut() {
				break
			}
			err = c.deliver(s)
		}
		clear(ready)
		c.mu.Lock()
		c.turns = ready
		c.mu.Unlock()
		if err != nil {
			c.broken(err)
			return
		}
	}
}

// writeAnswers writes answers together, and makes room for others.
func (c *conn) writeAnswers(answers []answer) error {
	if len(answers) == 0 {
		return nil
	}
	c.wire.hold()
	var err error
	size := 0
	for _, a := range answers {
		size += len(a)
		if err == nil {
			err = c.writeFrame(a)
		}
	}
	if e := c.wire.release(); err == nil {
		err = e
	}
	clear(answers)
	c.mu.Lock()
	if cap(answers) <= 1024 {
		c.spare = answers[:0]
	}
	c.outBytes -= size
	c.room.Broadcast()
	c.mu.Unlock()
	return err
}

// writeFrame writes a text frame. Its time is bounded below it.
func (c *conn) writeFrame(b []byte) error {
	c.g.metrics.framesOut.Inc()
	return c.ws.Write(context.Background(), websocket.MessageText, b)
}

// broken gives up a connection that could not be written to. Nobody waits for room any more,
// which will not come.
func (c *conn) broken(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.seldom("a connection takes too little, and is given up")
	}
	c.mu.Lock()
	if c.shuts == nil {
		c.shuts = &shutting{code: closeGone}
	}
	c.room.Broadcast()
	c.mu.Unlock()
	c.cancel()
	_ = c.ws.CloseNow()
}

// close ends the connection as the protocol has it. What the client still sends is
// passed over, so that it gets to see the code.
func (c *conn) close(s *shutting) {
	_ = c.wire.SetReadDeadline(time.Now().Add(closeTimeout))
	_ = c.ws.Close(s.code, s.reason)
}
