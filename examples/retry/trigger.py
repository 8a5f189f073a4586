from tasks import fetch, knock

fetched = fetch.delay("parcel")
opened = knock.delay()

print(opened.get(timeout=30))
print(fetched.get(timeout=30))
