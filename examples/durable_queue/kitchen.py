from penstock import Empty, open_queue


def cook(order):
    if not order["guests"]:
        raise ValueError(f"a {order['dish']} for nobody")
    print(f"{order['dish']} for {order['guests']} at table {order['table']}")


with open_queue("sqlite:///restaurant.db", "orders") as orders:
    while True:
        try:
            with orders.take(timeout=1) as order:
                cook(order)
        except Empty:
            break
        except ValueError as error:
            print(f"not cooked: {error}")
    for dead in orders.dead():
        print(f"set aside: {dead.item} ({dead.reason})")
