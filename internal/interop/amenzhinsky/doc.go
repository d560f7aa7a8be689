// Package amenzhinsky has the Go library amenzhinsky/iothub, unmodified, judge the
// hub in the box: its device over MQTT and WebSocket, with keys and certificates,
// and its service over HTTPS. It is a module of its own, which shares no code with
// the library, since it needs older versions of what both build on.
package amenzhinsky
