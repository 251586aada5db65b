-- Starts a saga with each request.
local token = os.getenv("TOKEN")
local body = '{"definition": "benchmarks.async", "input": {}}'
wrk.headers["Authorization"] = "Token " .. token
wrk.headers["Content-Type"] = "application/json"

request = function()
  return wrk.format("POST", "/api/v1/sagas/", nil, body)
end
