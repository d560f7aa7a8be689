package amqpwire

import "testing"

// TestWithhold takes credit back, delivers what was sent before the client could
// know, and gives the credit again.
func TestWithhold(t *testing.T) {
	s := begun(t, nil, maxFrame)
	l := s.link(0, Sender, 2)
	l.Withhold(true)
	l.Withhold(true)
	s.wantSent("taken back, once", "flow 0 count 0 credit 0")
	s.says(3, part(0, 0, false), "x")
	s.wantEvents("sent before", "Delivery 0 x")
	s.wantSent("no credit for it")
	l.Withhold(false)
	s.wantSent("given again", "flow 0 count 1 credit 2")
	s.says(3, part(0, 1, false), "y")
	s.wantEvents("sent after", "Delivery 1 y")
	s.wantSent("half of the credit is used", "flow 0 count 2 credit 2")
	s.link(1, Receiver, 0).Withhold(true)
	s.wantSent("a link on which the client receives")
}
