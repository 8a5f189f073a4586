from penstock import open_queue

with open_queue("sqlite:///restaurant.db", "orders") as orders:
    orders.put({"dish": "soup", "guests": 2, "table": 1})
    orders.put_many(
        [
            {"dish": "salad", "guests": 1, "table": 4},
            {"dish": "stew", "guests": 0, "table": 9},
        ]
    )
    print(f"{orders.qsize()} orders wait")
