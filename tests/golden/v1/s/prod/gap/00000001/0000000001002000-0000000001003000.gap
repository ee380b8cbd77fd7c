{
  "format": 1,
  "system": "prod",
  "timeline": 1,
  "from": 16785408,
  "to": 16789504,
  "reason": "a golden gap",
  "recorded": "2026-01-24T14:00:02Z"
}
