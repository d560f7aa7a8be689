package amqp

import (
	"encoding/binary"
	"math"
	"sync"
)

// Bytes of a frame (AMQP 1.0 part 2, section 2.3, and part 1, section 1.6).
const (
	frameHead  = 8 // size, offset, type, channel
	perfHead   = 3 // a performative's described, smallulong, code
	maxRepair  = 4 << 10
	codeBegin  = 0x11
	codeFlow   = 0x13
	codeMove   = 0x14 // TRANSFER
	typeNull   = 0x40
	typeUshort = 0x60
	typeUint   = 0x70
	typeList8  = 0xc0
	typeList32 = 0xd0
)

// repair follows the frames of a stream and puts into FLOW the next-incoming-id
// that some gateways leave out: the transfers that we have sent, for there it
// can only mean that the hub has them all. What it does not understand passes as
// it is.
type repair struct {
	ready []byte // to be read
	in    []byte // the beginning of a frame that may need repair
	left  int    // bytes of the frame under way that pass as they are

	locals map[uint16]uint16 // the hub's channels to ours

	mu   *sync.Mutex
	move map[uint16]uint32 // transfers sent, by our channel
}

func newRepair() repair {
	return repair{locals: map[uint16]uint16{}, mu: &sync.Mutex{}, move: map[uint16]uint32{}}
}

// sent counts a frame that was written.
func (r *repair) sent(frame []byte) {
	if code, ok := performative(frame); ok && code == codeMove {
		r.mu.Lock()
		r.move[binary.BigEndian.Uint16(frame[6:])]++
		r.mu.Unlock()
	}
}

// performative is what a frame of AMQP's own type holds.
func performative(frame []byte) (code byte, ok bool) {
	if len(frame) < frameHead+perfHead || frame[4] != 2 || frame[5] != 0 || frame[8] != 0 || frame[9] != 0x53 {
		return 0, false
	}
	return frame[10], true
}

// feed takes bytes of the stream.
func (r *repair) feed(b []byte) {
	if len(r.ready) == 0 {
		r.ready = r.ready[:0]
	}
	if len(r.in) > 0 {
		b = append(r.in, b...)
		r.in = nil
	}
	for len(b) > 0 {
		if r.left == 0 {
			size := r.next(b)
			if size == 0 {
				r.in = append([]byte(nil), b...) // the rest is to come
				return
			}
			if size < 0 { // whole, and read
				b = b[-size:]
				continue
			}
			r.left = size
		}
		n := min(r.left, len(b))
		r.ready = append(r.ready, b[:n]...)
		r.left -= n
		b = b[n:]
	}
}

// next looks at the frame that b begins with. It returns how many bytes pass as
// they are, 0 when more are needed to tell, or below 0 how many it took.
func (r *repair) next(b []byte) int {
	if len(b) < frameHead {
		return 0
	}
	if string(b[:4]) == "AMQP" {
		return frameHead
	}
	size := int(min(binary.BigEndian.Uint32(b), math.MaxInt32))
	switch {
	case size < frameHead: // no frame: go-amqp will say so
		return math.MaxInt32
	case size < frameHead+perfHead || size > maxRepair:
		return size
	case len(b) < frameHead+perfHead:
		return 0
	}
	code, ok := performative(b)
	if !ok || code != codeBegin && code != codeFlow {
		return size
	}
	if len(b) < size {
		return 0
	}
	channel := binary.BigEndian.Uint16(b[6:])
	if code == codeBegin {
		r.began(channel, b[:size])
		return size
	}
	r.mu.Lock()
	id := r.move[r.locals[channel]]
	r.mu.Unlock()
	r.ready = appendFlow(r.ready, b[:size], id)
	return -size
}

// began notes which of our sessions a session of the hub's belongs to.
func (r *repair) began(channel uint16, frame []byte) {
	items, _, ok := listItems(frame[frameHead+perfHead:])
	if ok && len(items) >= 3 && items[0] == typeUshort {
		r.locals[channel] = binary.BigEndian.Uint16(items[1:])
	}
}

// listItems takes the head off a list that is the whole of b.
func listItems(b []byte) (items []byte, count uint32, ok bool) {
	switch {
	case len(b) >= 3 && b[0] == typeList8 && int(b[1]) == len(b)-2:
		return b[3:], uint32(b[2]), true
	case len(b) >= 9 && b[0] == typeList32 && int64(binary.BigEndian.Uint32(b[1:])) == int64(len(b)-5):
		return b[9:], binary.BigEndian.Uint32(b[5:]), true
	}
	return nil, 0, false
}

// appendFlow appends a FLOW frame whose first field, if null, is the id.
func appendFlow(dst, frame []byte, id uint32) []byte {
	items, count, ok := listItems(frame[frameHead+perfHead:])
	if !ok || len(items) == 0 || items[0] != typeNull {
		return append(dst, frame...)
	}
	at := len(dst)
	dst = append(dst, frame[:frameHead+perfHead]...)
	dst = append(dst, typeList32)
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+5+len(items)-1))
	dst = binary.BigEndian.AppendUint32(dst, count)
	dst = append(dst, typeUint)
	dst = binary.BigEndian.AppendUint32(dst, id)
	dst = append(dst, items[1:]...)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}
