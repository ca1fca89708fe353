-- What wrk sends, and what it reports: one JSON object with the percentiles that its own text leaves out.
-- usage: wrk ... -s wrk.lua URL -- [paths=N] [keys=N first=M] [upload=BYTES]
--   paths=N   /r/0/x to /r/(N-1)/x, in steps of 7919, a prime: neighbors aren't asked for one after the other
--   keys=N    a field X-Key of N different values, in turn from M on
--   upload=N  POST with a body of N bytes
-- Without any of them the requests are all the same, and wrk runs no Lua while it measures.

function init(args)
   local given = { paths = 0, keys = 0, first = 0, upload = 0 }
   for _, arg in ipairs(args) do
      local name, value = arg:match("^(%w+)=(%d+)$")
      given[name] = tonumber(value)
   end
   local turn = given.first
   if given.paths > 0 then
      request = function()
         turn = (turn + 7919) % given.paths
         return "GET /r/" .. turn .. "/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
      end
   elseif given.keys > 0 then
      request = function()
         turn = (turn + 1) % given.keys
         return "GET / HTTP/1.1\r\nHost: localhost\r\nX-Key: k" .. turn .. "\r\n\r\n"
      end
   elseif given.upload > 0 then
      wrk.method = "POST"
      wrk.body = string.rep("x", given.upload)
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "bytes": %d, '
         .. '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d, '
         .. '"p50_us": %d, "p99_us": %d, "p99_9_us": %d, "max_us": %d}\n',
      summary.requests, summary.duration / 1e6, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
