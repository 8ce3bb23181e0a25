-- ARGV: 6 for how long removals are told, in milliseconds. Returns whether it was there.
local lib, err = library()
if err then return err end
if not lib then return {ARGV[1], 0} end
local have, now = record(), millis()
if have then
  lib.head = math.max(lib.head, lib.floor) + 1
  lib.documents, lib.passages = lib.documents - 1, lib.passages - have.passages
end
-- A few of those that needn't be told any more are forgotten on the way.
for _, doc in ipairs(call('ZRANGE', KEYS[5], '-inf', '(' .. spell(now - tonumber(ARGV[6])), 'BYSCORE', 'LIMIT', 0, 100)) do
  for _, told in ipairs(call('ZMSCORE', KEYS[4], doc)) do
    if told then lib.forgotten = math.max(lib.forgotten, tonumber(told)) end
  end
  call('ZREM', KEYS[4], doc)
  call('ZREM', KEYS[5], doc)
end
keep(lib)
call('SET', REMOVAL, spell(lib.version), 'PX', ARGV[6])
call('ZADD', KEYS[5], spell(now), DOC)
dropStaged('+inf')
if not have then return {ARGV[1], 0} end
call('UNLINK', RECORD)
drop(have.as)
call('ZREM', KEYS[2], DOC)
call('ZREM', KEYS[3], DOC)
call('ZADD', KEYS[4], spell(lib.head), DOC)
return {ARGV[1], 1}
