-- Reservations that came together, each decided by itself, in turn. Numbers: the most
-- (all digits of 2^63-1 for no bound) and one that isn't used. After the budgets come the
-- amounts of each reservation. Returns for each which budget refuses (0 = none).
local budgets, reply, granted = #KEYS - 1, {ARGV[1]}, false
for from = 4 + 4 * budgets, #ARGV, budgets do
  local before, refused = {}, 0
  for i = 2, #KEYS do
    local r, err = row(i)
    if err then return err end
    before[r] = before[r] or r.reserved
    local most, amount = number(ARGV[4 * i - 2]), number(ARGV[from + i - 2])
    if exceeds(sum(bound(sum(r.used, r.reserved)), amount), most) then
      refused = i - 1
      break
    end
    r.reserved = sum(r.reserved, amount)
  end
  if refused == 0 then
    granted = true
  else
    for r, reserved in pairs(before) do r.reserved = reserved end
  end
  reply[#reply + 1] = refused
end
if granted then
  for _, r in pairs(rows) do save(r) end
end
return reply
