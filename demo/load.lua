-- The load, for wrk: every package of the plan is posted once, and between the posts others ask: for audits, for the
-- summary, for pages that are not there, for a report that fails. Called as
--   wrk -t N -c N -d LIMIT -s load.lua URL -- N PLAN REQUESTS_PER_PACKAGE PAUSE_MS
--
-- Each thread has one connection and stops itself after its last answer. So no request is in flight when wrk ends, and
-- what the log says was answered is all that the application can have answered. wrk itself sleeps on until LIMIT or
-- SIGINT; a thread that is through says so in the log, for whoever waits to send it.

local threads = {}

function setup(thread)
  thread:set("id", #threads)
  table.insert(threads, thread)
end

function init(args)
  local count, index = tonumber(args[1]), 0
  packages = {}
  for package in io.lines(args[2]) do
    if index % count == id then table.insert(packages, package) end
    index = index + 1
  end
  per_package = tonumber(args[3])
  pause = tonumber(args[4])
  quota = #packages * per_package
  sent = 0
  answered = { ["2xx"] = 0, ["4xx"] = 0, ["5xx"] = 0, other = 0, all = 0 }
  accepted = 0
end

-- A plus sign stands for itself in a path, and for a space in a query.
local function escape(name)
  return (name:gsub("%+", "%%2B"))
end

-- wrk calls this once before the load, to see how it answers, and sends nothing. So the first thread starts one request
-- late; the modulus lets it end with the one that it left out.
function request()
  local package = packages[math.floor(sent / per_package) % #packages + 1]
  local turn = sent % per_package
  sent = sent + 1
  if turn == 0 then return wrk.format("POST", "/audits?package=" .. escape(package)) end
  if turn == 3 then return wrk.format("GET", "/audits") end
  if turn == 5 then return wrk.format("GET", "/no/such/page/" .. sent) end
  if turn == 7 then return wrk.format("GET", "/reports/unwritten") end
  if turn == 8 then return wrk.format("GET", "/reports/failures") end
  return wrk.format("GET", "/audits/" .. package)
end

function delay()
  return pause
end

function response(status)
  local class = math.floor(status / 100) .. "xx"
  if not answered[class] then class = "other" end
  answered[class] = answered[class] + 1
  answered.all = answered.all + 1
  if status == 202 then accepted = accepted + 1 end
  if answered.all == quota then
    io.write("thread " .. id .. " is through\n")
    io.flush()
    wrk.thread:stop()
  end
end

function done(summary)
  local total, posts, asked = { ["2xx"] = 0, ["4xx"] = 0, ["5xx"] = 0, other = 0, all = 0 }, 0, 0
  for _, thread in ipairs(threads) do
    for class, count in pairs(thread:get("answered")) do total[class] = total[class] + count end
    posts = posts + thread:get("accepted")
    asked = asked + thread:get("quota")
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("asked %d\nanswered %d\n", asked, total.all))
  for _, class in ipairs({ "2xx", "4xx", "5xx", "other" }) do io.write(string.format("%s %d\n", class, total[class])) end
  io.write(string.format("accepted %d\nerrors %d\n", posts, errors))
end
