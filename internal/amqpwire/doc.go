// Package amqpwire is the server half of AMQP 1.0, as much of it as an IoT hub
// needs, for the hub in the box.
//
// It does no I/O: it starts no goroutine, reads no clock and knows no socket. A
// Conn takes the bytes that a client sent, gives events, takes the hub's
// answers as method calls, and gives the bytes to send. One goroutine uses it
// at a time, its sessions and links included.
//
// # The life of a connection
//
//	c := amqpwire.NewConn(now, nil)
//	for each chunk that the stream brings, or when c.NextTick comes:
//		c.Feed(now, chunk)            // or c.Tick(now)
//		for ev := c.Next(); ev != nil; ev = c.Next() {
//			the hub answers the event
//		}
//		out = c.AppendOutput(now, out[:0])
//		write out to the stream
//		if c.Done() { close the stream }
//
// Next reads no frame before the event of the one before is taken, so an
// answer given at once is always in time. Writing what AppendOutput gives
// before more is fed keeps a client that sends and never reads from filling the
// memory. Verbs may be called at any time between these calls; then too their
// output is to be written.
//
// What happens, in order:
//
//   - A client that begins with the SASL header brings a Login, which the hub
//     answers by AcceptLogin or RefuseLogin. One that begins with the AMQP
//     header has none.
//   - Opened: the client's OPEN. The engine has answered it, as it answers
//     everything that leaves a hub no choice.
//   - Begun: a session is there.
//   - Attaching: the client wants a link. The hub answers by Link.Accept or
//     Link.Refuse. A refused one is answered with null termini before its
//     DETACH: one that echoed them would look accepted to go-amqp.
//   - Delivery: a whole message, its transfers joined. One that is not settled
//     the hub settles, by Link.Settle.
//   - Link.Send queues a message for a link on which the client receives; it
//     leaves when the client's credit and window let it. If it is not sent
//     settled, a Settled follows.
//   - Detached, Ended and Closed: the other end of an Attaching, a Begun and the
//     connection. A link brings Detached unless its session ends first, and a
//     session Ended unless the connection does; each comes once, also when it
//     was the hub (Link.Detach, Session.End, Conn.Close) or the engine that
//     began the end, and then when the client has answered. After Closed comes
//     nothing.
//
// To cut a connection the hub closes the stream and drops the Conn.
//
// # For clients
//
// Inspect and CheckMessage are what the other end needs that runs on go-amqp:
// they tell what of a server's it may be shown.
//
// # What is left out
//
// Links are not resumed, and messages not retransmitted: whatever a detach or
// an end leaves unsettled is forgotten. Transactions, dynamic nodes, filters,
// capabilities and the info map of errors are passed over. A client's request
// to settle second is echoed and not honoured: the hub's disposition always
// settles. Performatives and fields that nobody knows are passed over too,
// where the specification would have the connection closed. Two links of a
// session may have the same name.
package amqpwire
