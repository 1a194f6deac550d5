-- Gives the leadership of a job up; that of another stays.
-- ARGV: leader.
local _, _, who = read_leader()
if who == ARGV[1] then
  redis.call('DEL', LEADER)
end
return OK
