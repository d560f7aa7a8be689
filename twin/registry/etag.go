package registry

// An ETag identifies one state of a twin or of a registration. Each write makes
// another. It is a type of its own so that it is not mistaken for an id.
type ETag string

// AnyETag matches every ETag: the write is unconditional and may undo another
// writer's.
const AnyETag ETag = "*"
