package amqpwire

import (
	"bytes"
	"fmt"
)

// Descriptors and codes of the SASL layer (AMQP 1.0 part 5, section 5.3.3).
const (
	descMechanisms = 0x40
	descInit       = 0x41
	descOutcome    = 0x44

	saslOK   = 0
	saslAuth = 1
)

// mechanisms is what an IoT hub offers, in its order.
func mechanisms() []string { return []string{"EXTERNAL", "MSSBCBS", "ANONYMOUS", "PLAIN"} }

// readHeader reads a protocol header and answers it.
func (c *Conn) readHeader(b []byte) int {
	if len(b) < headerSize {
		if len(b) > 0 && !bytes.HasPrefix([]byte(headerAMQP), b) && !bytes.HasPrefix([]byte(headerSASL), b) {
			c.wrongHeader(b)
		}
		return 0
	}
	switch header := string(b[:headerSize]); {
	case header == headerAMQP:
		c.out = append(c.out, headerAMQP...)
		c.state = expectOpen
	case header == headerSASL && c.state == expectHeader:
		c.out = append(c.out, headerSASL...)
		c.out = appendMechanisms(c.out, mechanisms())
		c.state = expectInit
	default:
		c.wrongHeader(b[:headerSize])
		return 0
	}
	return headerSize
}

// wrongHeader answers with a header that would do, and ends (section 2.2).
func (c *Conn) wrongHeader(b []byte) {
	c.out = append(c.out, headerAMQP...)
	c.finish(&Closed{Cause: fmt.Errorf("%w: its stream begins with %q", ErrProtocol, b)})
}

func appendMechanisms(b []byte, names []string) []byte {
	b, frameAt := openFrame(b, frameSASL, 0)
	b, at := openDescribed(b, descMechanisms)
	// An array of symbols in the wide form; both lengths fit the narrow array.
	b = append(b, codeArray8, 0, byte(len(names)), codeSym32)
	array := len(b)
	for _, name := range names {
		b = append(b, 0, 0, 0, byte(len(name)))
		b = append(b, name...)
	}
	b[array-3] = byte(len(b) - array + 2)
	return closeFrame(closeList(b, at, 1), frameAt)
}

func appendOutcomeOfLogin(b []byte, code byte, text string) []byte {
	b, frameAt := openFrame(b, frameSASL, 0)
	b, at := openDescribed(b, descOutcome)
	b = appendUbyte(b, code)
	b = appendBinary(b, []byte(text))
	return closeFrame(closeList(b, at, 2), frameAt)
}

// login reads a sasl-init.
func (c *Conn) login(code uint64, f *fields) {
	if code != descInit {
		c.fail(condNotAllowed, fmt.Errorf("%w: performative %#x where a SASL login is due", ErrProtocol, code))
		return
	}
	l := &Login{Mechanism: must(f, "mechanism", value.text)}
	response, _ := take(f, "initial-response", value.binary)
	if c.broken("SASL login", f) {
		return
	}
	c.state = expectAnswer
	switch l.Mechanism {
	case "ANONYMOUS", "MSSBCBS", "EXTERNAL":
	case "PLAIN":
		// authorisation id, NUL, user, NUL, password (RFC 4616).
		parts := bytes.SplitN(response, []byte{0}, 3)
		if len(parts) != 3 {
			c.RefuseLogin()
			return
		}
		l.User, l.Password = string(parts[1]), string(parts[2])
	default:
		c.RefuseLogin()
		return
	}
	c.emit(l)
}

// AcceptLogin answers a Login. It does nothing when none waits.
func (c *Conn) AcceptLogin() {
	if c.state == expectAnswer {
		c.out = appendOutcomeOfLogin(c.out, saslOK, "Welcome!")
		c.state = expectAMQP
	}
}

// RefuseLogin answers a Login, and ends the connection. It does nothing when
// none waits.
func (c *Conn) RefuseLogin() {
	if c.state == expectAnswer {
		c.out = appendOutcomeOfLogin(c.out, saslAuth, "")
		c.finish(&Closed{Cause: ErrLogin})
	}
}
