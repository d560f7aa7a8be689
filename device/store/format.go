package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/devicetwin/devicetwin-go/auth"
)

// The format, byte by byte, stands in the package's documentation.
const (
	magic       = "\x89DTwin\r\n"
	version     = 1
	preambleLen = 16 // magic, version, checksum: the same in every version
	headerLen   = 30 // with the preamble, without the ids
	frameLen    = 12 // of a record, without its payload
	maxID       = 255
)

// A tag is what makes one file's checksums its own: the CRC-32C of its salt,
// on which every record's checksum goes on.
type tag uint32

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendHeader appends the header of a file, and returns the file's tag.
func appendHeader(b []byte, id auth.Identity, salt uint64) ([]byte, tag) {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, checksum(b[start:]))
	rest := len(b)
	b = binary.LittleEndian.AppendUint64(b, salt)
	t := tag(checksum(b[rest:]))
	b = append(b, byte(len(id.DeviceID)), byte(len(id.ModuleID)))
	b = append(b, id.DeviceID...)
	b = append(b, id.ModuleID...)
	return binary.LittleEndian.AppendUint32(b, checksum(b[rest:])), t
}

// errDamagedHeader says that a file's first bytes were ours once.
var errDamagedHeader = errors.New("the header is damaged")

// headerSize is the length of a header.
func headerSize(id auth.Identity) int64 {
	return headerLen + int64(len(id.DeviceID)+len(id.ModuleID))
}

// checkOwner compares the device and module of a store with those of a user.
// The hosts may differ. Its error matches ErrForeign.
func checkOwner(owner, id auth.Identity) error {
	if owner.DeviceID == id.DeviceID && owner.ModuleID == id.ModuleID {
		return nil
	}
	return fmt.Errorf("%w: it is of device %q, module %q, and this is device %q, module %q",
		ErrForeign, owner.DeviceID, owner.ModuleID, id.DeviceID, id.ModuleID)
}

// consumeHeader returns a file's tag, the ids in its header and the header's
// length. The zero Identity accepts every device's. Its errors match
// ErrForeign, ErrNewer or errDamagedHeader.
func consumeHeader(b []byte, id auth.Identity) (t tag, owner auth.Identity, header int, err error) {
	if err := checkPreamble(b); err != nil {
		return 0, owner, 0, err
	}
	rest := b[preambleLen:]
	if len(rest) < headerLen-preambleLen {
		return 0, owner, 0, fmt.Errorf("%w: it is cut off", errDamagedHeader)
	}
	device, module := int(rest[8]), int(rest[9])
	n := headerLen - 4 - preambleLen + device + module
	if len(rest) < n+4 {
		return 0, owner, 0, fmt.Errorf("%w: it is cut off", errDamagedHeader)
	}
	if binary.LittleEndian.Uint32(rest[n:]) != checksum(rest[:n]) {
		return 0, owner, 0, fmt.Errorf("%w: its checksum is wrong", errDamagedHeader)
	}
	owner = auth.Identity{DeviceID: string(rest[10 : 10+device]), ModuleID: string(rest[10+device : n])}
	switch {
	case id.DeviceID != "":
		err = checkOwner(owner, id)
	case owner.DeviceID == "": // nobody writes such a file
		err = fmt.Errorf("%w: it names no device", ErrForeign)
	}
	return tag(checksum(rest[:8])), owner, preambleLen + n + 4, err
}

// checkPreamble looks at what every version of the format begins with.
func checkPreamble(b []byte) error {
	head := b[:min(len(b), preambleLen)]
	whole := len(head) == preambleLen && string(head[:8]) == magic &&
		binary.LittleEndian.Uint32(head[12:]) == checksum(head[:12])
	if !whole {
		if wasOurs(head) {
			return fmt.Errorf("%w: it does not begin as a store does", errDamagedHeader)
		}
		return fmt.Errorf("%w: it does not begin as a store does; is the path right?", ErrForeign)
	}
	switch v := binary.LittleEndian.Uint32(head[8:]); {
	case v > version:
		return fmt.Errorf("%w: its format is %d, and this library knows %d", ErrNewer, v, version)
	case v < version:
		return fmt.Errorf("%w: there is no format %d", errDamagedHeader, v)
	}
	return nil
}

// wasOurs reports whether the beginning of a file is a damaged preamble, or a
// lost page, and not someone else's file, which isn't to be moved away.
func wasOurs(head []byte) bool {
	ours, _ := appendHeader(nil, auth.Identity{}, 0)
	same := 0
	for i, c := range head {
		if c == ours[i] {
			same++
		}
	}
	lost := func(c byte) bool { return bytes.Count(head, []byte{c}) == len(head) }
	return 2*same >= len(head) || lost(0) || lost(0xff)
}

// appendFrame appends what stands before a record's payload.
func appendFrame(b []byte, t tag, seq uint32, payload []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, seq)
	return binary.LittleEndian.AppendUint32(b, t.sum(b[start:], payload))
}

// sum is a record's checksum.
func (t tag) sum(head, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(uint32(t), table, head), table, payload)
}

// consumeFrame returns the record at the start of b and its length with its
// frame, or what is wrong.
func consumeFrame(b []byte, t tag) (payload []byte, seq uint32, n int, err error) {
	if len(b) < frameLen {
		return nil, 0, 0, errors.New("a record's frame is cut off")
	}
	size := binary.LittleEndian.Uint32(b)
	if uint64(size) > uint64(len(b)-frameLen) {
		return nil, 0, 0, errors.New("a record is longer than the rest of the file")
	}
	n = frameLen + int(size)
	if t.sum(b[:8], b[frameLen:n]) != binary.LittleEndian.Uint32(b[8:]) {
		return nil, 0, 0, errors.New("a record's checksum is wrong")
	}
	return b[frameLen:n:n], binary.LittleEndian.Uint32(b[4:]), n, nil
}

// contents is what a file holds, up to the first damage.
type contents struct {
	tag      tag
	owner    auth.Identity // ids in the header
	header   int64         // length of the header
	snapshot []byte        // record 0
	records  [][]byte      // the others
	good     int64         // where they end, or 0 if not even the snapshot is whole
	damage   error         // what is wrong at good, or nil if the file ends there
	torn     bool          // nothing good comes after the damage
}

// parse reads a file that isn't empty. Its error matches ErrForeign or
// ErrNewer; damage is no error. What it returns aliases b.
func parse(b []byte, id auth.Identity) (contents, error) {
	t, owner, n, err := consumeHeader(b, id)
	if errors.Is(err, errDamagedHeader) {
		return contents{damage: err}, nil
	}
	if err != nil {
		return contents{}, err
	}
	c := contents{tag: t, owner: owner, header: int64(n)}
	off, due, stray := n, uint32(0), false
	for ; off < len(b); due++ {
		payload, seq, n, err := consumeFrame(b[off:], t)
		if stray = err == nil && seq != due; stray {
			err = fmt.Errorf("record %d stands where record %d is due", seq, due)
		}
		if err != nil {
			c.damage = err
			break
		}
		if due == 0 {
			c.snapshot = payload
		} else {
			c.records = append(c.records, payload)
		}
		off += n
	}
	if due == 0 { // every file begins with a snapshot, synced before it got its name
		if c.damage == nil {
			c.damage = errors.New("the snapshot is missing")
		}
		return c, nil
	}
	c.good = int64(off)
	c.torn = c.damage != nil && !stray && !goodAfter(b[off:], t, due)
	return c, nil
}

// goodAfter reports whether a record of this file stands anywhere in b, which
// begins with damage where record due should. A record takes frameLen bytes
// or more, which bounds the numbers that can follow, and so the checksums to
// try; where a file was made to defeat that, it says yes early.
func goodAfter(b []byte, t tag, due uint32) bool {
	budget := 8 * len(b)
	for i := 0; i+frameLen <= len(b); i++ {
		size, seq := binary.LittleEndian.Uint32(b[i:]), binary.LittleEndian.Uint32(b[i+4:])
		if uint64(size) > uint64(len(b)-i-frameLen) || int64(seq)-int64(due) > int64(i/frameLen) {
			continue
		}
		if budget -= int(size); budget < 0 {
			return true
		}
		if _, _, _, err := consumeFrame(b[i:], t); err == nil {
			return true
		}
	}
	return false
}
