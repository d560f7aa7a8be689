package registry

// An ETag names one state of a twin or of an identity. Each write makes another.
// It is a type of its own so that it cannot be mistaken for an id.
type ETag string

// AnyETag matches every ETag: the write is unconditional, and may undo somebody
// else's.
const AnyETag ETag = "*"
