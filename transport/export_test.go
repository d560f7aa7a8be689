package transport

// What the tests look at from outside.
var ClientConfig = clientConfig

const MaxErrorText = maxMessage
