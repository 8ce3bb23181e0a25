-- KEYS: session, index of all, index of the caller, index of names.
-- ARGV: 3 caller, 4 id, 5 its bare id, 6 number by which an index named it ('' = none
-- did), 7 only if updated before this millisecond ('' = in any case).
local head = redis.call('LINDEX', KEYS[1], -1)
local function unlist(number)
  redis.call('ZREM', KEYS[2], number .. ARGV[3] .. ARGV[4])
  redis.call('ZREM', KEYS[3], number .. ARGV[5])
end
local number = head and string.sub(head, 17, 24)
if ARGV[6] ~= '' and ARGV[6] ~= number then
  unlist(ARGV[6])
end
if not head then
  redis.call('ZREM', KEYS[4], ARGV[4] .. ARGV[3])
  return {ARGV[1], 0}
end
if string.sub(head, 1, 16) ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s session')
end
if ARGV[7] ~= '' and struct.unpack('>i8', head, 33) >= tonumber(ARGV[7]) then
  return {ARGV[1], 0}
end
redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[4], ARGV[4] .. ARGV[3])
unlist(number)
return {ARGV[1], 1}
