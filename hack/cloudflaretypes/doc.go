// Package cloudflaretypes writes api/cloudflareapi's wire types from Cloudflare's own API
// document, as it is cut down in hack/fakecloudflare/openapi.
//
// Promise: flat structs with the fields that the client uses and no others, their names
// and limits as in the document; a field that the document no longer has is an error
// here, and not an empty value there. Times stay texts, unions stay maps: decoding them
// must not fail because one product writes them its own way.
package cloudflaretypes
