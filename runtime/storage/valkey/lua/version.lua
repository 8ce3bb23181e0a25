local lib, err = library()
if err then return err end
lib = nextVersion(lib)
keep(lib)
return {ARGV[1], spell(lib.version)}
