// Package apply is the one way in which children are written: compare with the live
// object, server-side apply on a difference, prune what is no longer wanted.
//
// Promise: objects that are as they should be cost no API write. A field that another
// manager owns is left alone, unless it is what keeps ours from being put right (an
// element of ours that was renamed); a field of ours that was changed, or that we owned
// and no longer want, is put right. An object of the same name that isn't the owner's is
// never touched.
//
// It needs the managed fields of FieldOwner on the objects it reads; KeepOwn lets a
// cache drop all others.
package apply
