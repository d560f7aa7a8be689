// Package transport connects a device to an IoT Hub: it has the errors of a
// connection, the byte streams below a protocol, and the contract of protocols.
//
// # For firmware
//
// Firmware gives a [Dialer] to device.New: mqtt.Dialer or amqp.Dialer of the
// packages below this one, or [Fallback] of two. Of this package it uses, if the
// defaults do not suffice:
//
//   - the errors, [ErrUnauthorized] and its siblings, and [StatusError];
//   - [TLS] and [TLSOptions], for roots, pins, another address or a proxy;
//   - [StreamFunc], for a stream of its own below the protocol.
//
// # For implementers
//
// A package that speaks another protocol implements [Dialer] and [Conn]. A Conn
// moves [Frame] values between device and hub, and knows no more: package device
// has retries, time-outs of requests, the order of requests, catching up and the
// renewal of tokens, once for all protocols.
//
// The life of a Conn:
//
//   - Dial opens a stream to [Login.Target], logs in, and returns an open Conn.
//   - One goroutine calls Receive until it fails. Any goroutine calls Send.
//   - The session opens each [Feature] before it uses it, and may close it.
//   - The Conn dies once: by Close, by a failure of Receive or of a write, by the
//     hub, or because the hub gives no sign of life in time. From then on Send and
//     Receive fail, and their error says why.
//   - Close is called in any case, and waits for every goroutine of the Conn.
//
// Send hands a frame over. It never waits for the hub's answer, nor for credit, a
// window or a queue: without room it returns [ErrBusy]. Receive returns frames in the
// order of arrival, also while nothing can be written.
//
// A frame that the hub answers has an ID, which the sender chose and the answer
// repeats. A frame that the hub wants settled has a Delivery, which the Conn counts
// and the settling frame repeats.
//
// An error of Dial and of a dead Conn matches [ErrUnauthorized], [ErrUntrusted],
// [ErrUnavailable], [ErrThrottled], [ErrQuota], [ErrProtocol], [ErrLost],
// [ErrStalled], [ErrClosed] or [ErrUnsupported], by which package device knows how
// fast to try again. After [ErrUnsupported], [ErrTooLarge] and [ErrBusy] of Send the
// Conn lives on. An error that the end of a context caused matches ctx.Err, too.
//
// A Conn never reconnects, never repeats a frame, never times a request out, never
// acknowledges a message that the session has not settled, and never keeps a body
// after Send returned.
//
// Kinds of frames and features will be added. For one that it does not know, Send
// returns ErrUnsupported.
//
// internal/transporttest has a case for each of these rules, which both protocols
// of this module pass.
package transport
