package hubtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claim is a shared access signature taken apart. The texts that were signed
// stay as they were received, for the signature holds over them as they are.
type claim struct {
	resource string // sr, as received
	end      string // se, as received
	expires  time.Time
	policy   string // skn, empty for none
	mac      []byte
}

// parseToken reads a token as Microsoft's own parser does: names have no case,
// unknown fields are ignored, no field appears twice, and in the signature a raw
// '/' passes where '+' would be read as a blank and '=' as the end.
func parseToken(text string) (claim, error) {
	fields, err := tokenFields(text)
	if err != nil {
		return claim{}, err
	}
	c := claim{resource: fields["sr"], end: fields["se"]}
	if c.expires, err = parseEnd(c.end); err != nil {
		return claim{}, err
	}
	if c.policy, err = url.PathUnescape(fields["skn"]); err != nil {
		return claim{}, errors.New("token: skn is not percent-encoded")
	}
	if strings.ContainsAny(fields["sig"], "+=") {
		return claim{}, errors.New("token: sig is not percent-encoded")
	}
	sig, err := url.PathUnescape(fields["sig"])
	if err != nil {
		return claim{}, errors.New("token: sig is not percent-encoded")
	}
	if c.mac, err = base64.StdEncoding.Strict().DecodeString(sig); err != nil {
		return claim{}, errors.New("token: sig is not base64")
	}
	return c, nil
}

func tokenFields(text string) (map[string]string, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("token: %d bytes long", len(text))
	}
	rest, ok := strings.CutPrefix(text, "SharedAccessSignature ")
	if !ok {
		return nil, errors.New("token: no SharedAccessSignature")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, "&") {
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, errors.New("token: a field without a value")
		}
		name = strings.ToLower(name)
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("token: a field %.20q stands twice", name)
		}
		fields[name] = value
	}
	for _, name := range []string{"sr", "sig", "se"} {
		if fields[name] == "" {
			return nil, fmt.Errorf("token: no %s", name)
		}
	}
	return fields, nil
}

// parseEnd reads whole seconds since 1970.
func parseEnd(text string) (time.Time, error) {
	n, err := strconv.ParseUint(text, 10, 40)
	if err != nil || strings.HasPrefix(text, "+") {
		return time.Time{}, errors.New("token: se is not a whole number of seconds")
	}
	return time.Unix(int64(n), 0), nil
}

// signedBy reports whether one of the keys made the signature.
func (c claim) signedBy(keys keyPair) bool {
	good := false
	for _, key := range keys.secret {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(c.resource + "\n" + c.end))
		if len(key) > 0 && hmac.Equal(m.Sum(nil), c.mac) {
			good = true
		}
	}
	return good
}

// scope takes the resource apart: the host, then the segments below it. One that
// is encoded more than once is decoded until it has segments.
func (c claim) scope() (host string, path []string, err error) {
	plain := c.resource
	for range maxEncodings {
		if strings.Contains(plain, "/") {
			break
		}
		if plain, err = url.PathUnescape(plain); err != nil {
			return "", nil, errors.New("token: sr is not percent-encoded")
		}
	}
	if plain == c.resource { // raw slashes: its segments may be encoded
		if plain, err = url.PathUnescape(plain); err != nil {
			return "", nil, errors.New("token: sr is not percent-encoded")
		}
	}
	segments := strings.Split(plain, "/")
	return segments[0], segments[1:], nil
}

// authorize judges a token at a moment, and says until when it is good. The
// error says why not, for the hub's log: a device is only told that. h.mu is
// held.
func (h *Hub) authorize(who *identity, token string, now time.Time) (time.Time, error) {
	c, err := parseToken(token)
	if err != nil {
		return time.Time{}, err
	}
	if late := now.Sub(c.expires); late > clockSkew {
		return time.Time{}, fmt.Errorf("token: it ended %v ago", late)
	}
	keys := who.keys
	switch {
	case c.policy != "":
		if keys, err = h.policyKeys(c.policy); err != nil {
			return time.Time{}, err
		}
	case who.module == "" && h.opts.DisableDeviceSAS, who.module != "" && h.opts.DisableModuleSAS:
		return time.Time{}, errors.New("token: this hub lets nobody in by a key of its own (DisableDeviceSAS, DisableModuleSAS)")
	}
	if !c.signedBy(keys) {
		return time.Time{}, errors.New("token: no key of the identity or policy made this signature")
	}
	if err := c.covers(h.opts.Host, who); err != nil {
		return time.Time{}, err
	}
	return c.expires, nil
}

// policyKeys returns the keys of a policy that lets devices in. h.mu is held.
func (h *Hub) policyKeys(name string) (keyPair, error) {
	p, ok := h.policies[name]
	if !ok {
		return keyPair{}, fmt.Errorf("token: there is no policy %q", name)
	}
	if !slices.Contains(p.Permissions, DeviceConnect) {
		return keyPair{}, fmt.Errorf("token: policy %q lacks DeviceConnect", name)
	}
	return completeKeys(p.PrimaryKey, p.SecondaryKey)
}

// covers checks that the token's scope is the identity or above it, segment by
// segment, for a key of its own as for a policy's.
func (c claim) covers(hub string, who *identity) error {
	host, path, err := c.scope()
	if err != nil {
		return err
	}
	if !strings.EqualFold(host, hub) {
		return fmt.Errorf("token: it is for the hub %q", host)
	}
	want := who.path()
	if len(path) > len(want) || !slices.EqualFunc(path, want[:len(path)], sameSegment) {
		return fmt.Errorf("token: its scope %q does not reach this identity", strings.Join(path, "/"))
	}
	return nil
}

// names reports whether the scope is the identity, in as many words.
func (c claim) names(who *identity) bool {
	_, path, err := c.scope()
	return err == nil && slices.EqualFunc(path, who.path(), strings.EqualFold)
}

// path is where the identity is below the hub's name.
func (id *identity) path() []string {
	if id.module == "" {
		return []string{"devices", id.device}
	}
	return []string{"devices", id.device, "modules", id.module}
}

// sameSegment compares without regard to case, as the documentation writes
// scopes in lower case. Microsoft's .NET SDK encodes ids before it encodes the
// whole, so a segment may be encoded still.
func sameSegment(got, want string) bool {
	if strings.EqualFold(got, want) {
		return true
	}
	plain, err := url.PathUnescape(got)
	return err == nil && strings.EqualFold(plain, want)
}
