package hubtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
)

// restRequest is a request of a service, understood.
type restRequest struct {
	*http.Request
	path  []string // decoded, such as "twins", "dev1"
	id    string   // whom the path names: "device" or "device/module"
	body  []byte
	match etagMatch
	now   time.Time

	version   string // the api-version
	requestID string // the hub's name for the request, a GUID
}

// restAnswer is what it is answered.
type restAnswer struct {
	status int // 0 for 200
	etag   string
	header map[string]string
	body   []byte // JSON; nil for none
}

// route is one verb and path of the REST interface. In the path, {d} and {m}
// stand for ids.
type route struct {
	method, path string
	needs        string // of a policy
	action       action // of a role
	nested       bool   // the dialect of its errors
	do           func(*Hub, restRequest) (restAnswer, *fault.Fault)
}

func routes() []route {
	return []route{
		{"GET", "twins/{d}", serviceConnect, twinsRead, false, (*Hub).restGetTwin},
		{"PATCH", "twins/{d}", serviceConnect, twinsWrite, false, (*Hub).restPatchTwin},
		{"PUT", "twins/{d}", serviceConnect, twinsWrite, false, (*Hub).restPutTwin},
		{"GET", "twins/{d}/modules/{m}", serviceConnect, twinsRead, false, (*Hub).restGetTwin},
		{"PATCH", "twins/{d}/modules/{m}", serviceConnect, twinsWrite, false, (*Hub).restPatchTwin},
		{"PUT", "twins/{d}/modules/{m}", serviceConnect, twinsWrite, false, (*Hub).restPutTwin},
		{"POST", "twins/{d}/methods", serviceConnect, methodsInvoke, true, (*Hub).restMethod},
		{"POST", "twins/{d}/modules/{m}/methods", serviceConnect, methodsInvoke, true, (*Hub).restMethod},
		{"POST", "devices/query", serviceConnect, twinsRead, false, (*Hub).restQuery},
		{"POST", "devices", registryWrite, devicesWrite, false, (*Hub).restBulk},
		{"GET", "devices", registryRead, devicesRead, false, (*Hub).restListDevices},
		{"GET", "devices/{d}", registryRead, devicesRead, false, (*Hub).restGetIdentity},
		{"PUT", "devices/{d}", registryWrite, devicesWrite, false, (*Hub).restPutIdentity},
		{"DELETE", "devices/{d}", registryWrite, devicesDelete, false, (*Hub).restDeleteIdentity},
		{"GET", "devices/{d}/modules", registryRead, devicesRead, false, (*Hub).restListModules},
		{"GET", "devices/{d}/modules/{m}", registryRead, devicesRead, false, (*Hub).restGetIdentity},
		{"PUT", "devices/{d}/modules/{m}", registryWrite, devicesWrite, false, (*Hub).restPutIdentity},
		{"DELETE", "devices/{d}/modules/{m}", registryWrite, devicesDelete, false, (*Hub).restDeleteIdentity},
		{"GET", "statistics/devices", registryRead, devicesRead, false, (*Hub).restCountDevices},
		{"GET", "statistics/service", serviceConnect, devicesRead, false, (*Hub).restCountConnected},
	}
}

// matches compares a path with the route's, and says whom it names.
func (rt route) matches(path []string) (id string, ok bool) {
	want := strings.Split(rt.path, "/")
	if len(path) != len(want) {
		return "", false
	}
	for i, w := range want {
		switch {
		case w == "{d}" && path[i] != "":
			id = path[i]
		case w == "{m}" && path[i] != "":
			id += "/" + path[i]
		case !strings.EqualFold(w, path[i]):
			return "", false
		}
	}
	return id, true
}

// restHandler is the hub's REST interface, and the door to WebSocket.
func (h *Hub) restHandler() http.Handler {
	all := routes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.URL.Path, webPath) {
			h.serveWebSocket(w, r)
			return
		}
		h.serveREST(w, r, all)
	})
}

// serveREST reads a request, lets it pass Intercept, and performs it.
func (h *Hub) serveREST(w http.ResponseWriter, r *http.Request, all []route) {
	c := connOf(r)
	if !c.passGate() {
		return
	}
	req := restRequest{Request: r, now: h.opts.Now(), requestID: newGUID()}
	req.headers(w.Header())
	rt, f := req.route(all)
	body, tooLarge, err := c.body(w, r)
	if err != nil {
		c.close("request body: " + err.Error())
		return
	}
	if tooLarge != nil {
		f = tooLarge
	}
	req.body = body
	msg := Message{Device: req.id, Op: Rest, Method: r.Method + " /" + strings.Join(req.path, "/"), Body: body}
	c.trace(msg)
	h.mu.Lock()
	h.stats[""].Requests++
	h.mu.Unlock()

	call := &restCall{conn: c, request: request{msg: msg, bad: f}, w: w, rt: rt, req: req}
	if err := h.carry(call); err != nil {
		c.close(err.Error())
	}
}

// restCall is a service's request as Intercept has it.
type restCall struct {
	*conn
	request
	w      http.ResponseWriter
	rt     route
	req    restRequest
	editor Action // an Edit, of the answer
}

// perform implements passage.
func (r *restCall) perform(mute bool) error {
	a, f := restAnswer{}, r.bad
	if f == nil {
		a, f = r.hub.performREST(r.rt, r.req)
	}
	if mute {
		return nil
	}
	if f != nil {
		r.hub.log.Info("REST request refused", "request", r.msg.Method, "code", f.Code, "reason", f.Text)
		r.w.Header().Set("iothub-errorcode", codeName(f.Code))
		a = restAnswer{status: f.Status(), body: r.hub.restBody(f, r.req, r.rt.nested)}
	}
	if r.editor.kind == actEdit {
		answer := Message{Device: r.msg.Device, Op: Rest, FromHub: true, Body: a.body}
		r.hub.edit(&answer, r.editor)
		a.body = answer.Body
	}
	a.write(r.w)
	return nil
}

// repeat implements passage: the second answer is the one that is sent.
func (r *restCall) repeat() error { return r.perform(true) }

// edit implements passage: it is the answer that is edited.
func (r *restCall) edit(act Action) { r.editor = act }

// hold implements passage.
func (r *restCall) hold(act Action) error {
	gone := r.req.Context().Done()
	if act.kind == actLate {
		gone = nil
	}
	if !wait(act.delay, gone, r.hub.done) {
		return nil
	}
	return r.perform(false)
}

// drop implements passage: the client waits until it gives up.
func (r *restCall) drop() error {
	select {
	case <-r.req.Context().Done():
	case <-r.done:
	}
	return errCut
}

// freeze implements passage.
func (r *restCall) freeze() error { return r.drop() }

// answer implements passage.
func (r *restCall) answer(act Action) error {
	r.hub.writeIntercepted(r.w, r.rt, act, r.req)
	return nil
}

// body reads a request's body, all of which has to be there in time, however
// steadily it comes and whether or not the client may do anything here.
func (c *conn) body(w http.ResponseWriter, r *http.Request) ([]byte, *fault.Fault, error) {
	if err := c.readBy(time.Now().Add(requestBody)); err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) { // the deadline stays, for the rest of the body
		return body, fault.New(fault.TooLarge, "The body has more than %d bytes.", maxBody), nil
	}
	if err != nil {
		return nil, nil, err
	}
	return body, nil, c.readBy(time.Time{}) // what the request asks for may take longer
}

// headers are those that every recorded answer has.
func (req *restRequest) headers(head http.Header) {
	head.Set("Server", "Microsoft-HTTPAPI/2.0")
	head.Set("Vary", "Origin")
	head.Set("X-Ms-Request-Id", req.requestID)
}

// newGUID is a random GUID in lower case.
func newGUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, by its documentation
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// performREST authorises a request and performs it.
func (h *Hub) performREST(rt route, req restRequest) (restAnswer, *fault.Fault) {
	if f := h.authorizeService(rt, req); f != nil {
		return restAnswer{}, f
	}
	if f := req.apiVersion(); f != nil {
		return restAnswer{}, f
	}
	req.match = parseMatch(req.Header.Values("If-Match"))
	return rt.do(h, req)
}

// route finds what is asked for, and whom it is about.
func (req *restRequest) route(all []route) (route, *fault.Fault) {
	path, err := segments(req.URL)
	if err != nil {
		return route{}, fault.New(fault.Invalid, "The path is not percent-encoded.")
	}
	req.path = path
	known := false
	for _, rt := range all {
		id, ok := rt.matches(path)
		if !ok {
			continue
		}
		if rt.method == req.Method {
			req.id = id
			return rt, nil
		}
		known = true
	}
	if known {
		return route{}, fault.New(fault.NotAllowed, "There is no %s here.", req.Method)
	}
	return route{}, fault.New(fault.NoRoute, "Nothing is found at this path; this hub knows a part of the interface.")
}

// segments takes a path apart, and decodes each part once: ids hold '%' and
// other signs. The dot segments "." and ".." are resolved before, encoded or not,
// as the front of a real hub and every proxy on the way does (RFC 3986, 5.2.4):
// devices/victim/modules/.. is devices/victim.
func segments(u *url.URL) ([]string, error) {
	var parts []string
	for p := range strings.SplitSeq(strings.Trim(u.EscapedPath(), "/"), "/") {
		plain, err := url.PathUnescape(p)
		switch {
		case err != nil || strings.Contains(plain, "/"): // no id holds one
			return nil, errors.New("not percent-encoded")
		case plain == ".":
		case plain == "..":
			parts = parts[:max(0, len(parts)-1)]
		default:
			parts = append(parts, plain)
		}
	}
	return parts, nil
}

// apiVersion accepts whatever looks like a version.
func (req *restRequest) apiVersion() *fault.Fault {
	v := req.URL.Query().Get("api-version")
	req.version = v
	if ok, _ := regexp.MatchString(`^20\d\d-\d\d-\d\d(-preview)?$`, v); !ok {
		return fault.New(fault.Version, "The api-version %q is not supported.", v)
	}
	return nil
}

func (h *Hub) writeIntercepted(w http.ResponseWriter, rt route, act Action, req restRequest) {
	a := restAnswer{status: act.status, body: []byte(act.body)}
	if act.code != 0 {
		f := fault.Usual(act.code)
		f.Text = strings.TrimPrefix(f.Text, "ErrorCode:")
		w.Header().Set("iothub-errorcode", codeName(act.code))
		a.body = h.restBody(f, req, rt.nested)
	}
	if s := act.pause(); s > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(s))
	}
	a.write(w)
}

func (a restAnswer) write(w http.ResponseWriter) {
	head := w.Header()
	for k, v := range a.header {
		head.Set(k, v)
	}
	if a.etag != "" {
		head.Set("ETag", `"`+a.etag+`"`)
	}
	if a.body != nil {
		head.Set("Content-Type", "application/json; charset=utf-8")
	}
	head.Set("Content-Length", strconv.Itoa(len(a.body)))
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	if status < 200 || status > 599 {
		status = http.StatusInternalServerError
	}
	w.WriteHeader(status)
	_, _ = w.Write(a.body) // a client that has gone is no news
}

// parseMatch reads If-Match: an etag with or without quotes and W/. SDKs send
// "*" in quotes, too.
func parseMatch(values []string) etagMatch {
	text := strings.TrimSpace(strings.Join(values, ","))
	if text == "" {
		return etagMatch{}
	}
	text = strings.TrimPrefix(text, "W/")
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	if text == "" { // Microsoft's newer .NET client creates so
		return etagMatch{}
	}
	return etagMatch{given: true, one: text != "*", etag: text}
}
