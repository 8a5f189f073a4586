import psycopg
from tasks import DATABASE, confirm

with psycopg.connect(DATABASE) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY, amount int)")

with psycopg.connect(DATABASE) as connection:  # an order that is not to be
    connection.execute("INSERT INTO orders VALUES (1, 0)")
    never = confirm.delay_in(connection, 1)
    connection.rollback()

with psycopg.connect(DATABASE) as connection:
    connection.execute("DELETE FROM orders")
    connection.execute("INSERT INTO orders VALUES (2, 95)")
    result = confirm.delay_in(connection, 2)

print("task done:", result.get(timeout=20))
print("the other:", never.state)
