// Package storage is what is kept: small interfaces, the keys that no choice of
// names can spell twice, and the errors that drivers speak in.
//
// Promise, for every method of every driver: the tenant is an explicit parameter
// and the only one whose data is touched; the zero tenancy.ID is refused. What is
// acknowledged is as durable as the driver says, and a refused or failed call
// leaves nothing half-written. Methods are safe for concurrent use and return when
// their context ends. Drivers prove it with storagetest.
package storage
