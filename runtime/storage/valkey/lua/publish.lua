-- ARGV: 6 version that is staged, below 0 for one of another store, 7 how many passages, 8
-- when it was made, if it is the first, 9 updated, 10 bytes, 11 about, 12 what to do: 'try'
-- changes nothing, 'sure' doesn't count what is staged. Returns 0, the change and when it was
-- made, both '' if it was published before; 1 for an old version, 2
-- if passages are missing, 3 if they must be counted first.
local as, version, passages = ARGV[6], tonumber(ARGV[6]), tonumber(ARGV[7])
local lib, err = library()
if err then return err end
local have = record()
if have and have.version == version then return {ARGV[1], 0, '', ''} end
local loads = version < 0
if loads and have and have.source == string.sub(as, 2) and have.updated == ARGV[9] and have.passages == passages then
  if ARGV[12] ~= 'try' then drop(as) end
  return {ARGV[1], 0, '', ''}
end
if not loads and old(lib, have, version) then return {ARGV[1], 1} end
local key = PREFIX .. 'passages:' .. PART .. as
local head = call('HMGET', key, 'tenant', 'next')
if head[1] and head[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s passages')
end
-- A hash has three fields beside its passages.
if not head[1] or call('HLEN', key) - 3 < passages then return {ARGV[1], 2} end
if tonumber(head[2]) > passages and ARGV[12] ~= 'sure' then return {ARGV[1], 3} end
if ARGV[12] == 'try' then return {ARGV[1], 0, '', ''} end
if loads then
  lib = nextVersion(lib)
  version = lib.version
  -- The same may be loaded once more: what is published leaves its name to that.
  local staged, kept = as, spell(version)
  call('ZREM', KEYS[6], PART .. staged)
  call('ZREM', VERSIONS, staged)
  as = kept
  for _, kind in ipairs({'passages:', 'vectors:'}) do
    local from = PREFIX .. kind .. PART .. staged
    if call('EXISTS', from) == 1 then call('RENAME', from, PREFIX .. kind .. PART .. kept) end
  end
  key = PREFIX .. 'passages:' .. PART .. as
end
lib.head = math.max(lib.head, lib.floor) + 1
lib.passages = lib.passages + passages - (have and have.passages or 0)
if not have then lib.documents = lib.documents + 1 end
keep(lib)
local created = have and not loads and have.created or ARGV[8]
call('HSET', RECORD, 'tenant', ARGV[2], 'version', spell(version), 'as', as, 'source', loads and string.sub(ARGV[6], 2) or '0', 'change', spell(lib.head),
  'created', created, 'updated', ARGV[9], 'passages', ARGV[7], 'bytes', ARGV[10], 'about', ARGV[11])
call('ZADD', KEYS[2], 0, DOC)
call('ZADD', KEYS[3], spell(lib.head), DOC)
call('ZREM', KEYS[4], DOC)
call('ZREM', KEYS[5], DOC)
call('UNLINK', REMOVAL)
call('ZREM', KEYS[6], PART .. as)
call('ZREM', VERSIONS, as)
call('PERSIST', key)
call('PERSIST', PREFIX .. 'vectors:' .. PART .. as)
dropStaged(spell(version))
if have then drop(have.as) end
return {ARGV[1], 0, spell(lib.head), created}
