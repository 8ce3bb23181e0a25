-- KEYS: library, then a record each. Returns the library's head and what is forgotten, and
-- the records.
local fields = {'tenant', 'version', 'change', 'created', 'updated', 'passages', 'bytes', 'about'}
local lib = redis.call('HMGET', KEYS[1], 'tenant', 'head', 'forgotten', 'documents', 'passages')
if lib[1] and lib[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s documents')
end
local reply = {ARGV[1], lib[2] or '0', lib[3] or '0', lib[4] or '0', lib[5] or '0'}
for i = 2, #KEYS do
  local have = redis.call('HMGET', KEYS[i], unpack(fields))
  if have[1] and have[1] ~= ARGV[2] then
    return redis.error_reply('FOREIGN the key holds another tenant\'s document')
  end
  reply[#reply + 1] = have[1] and have or ''
end
return reply
