-- A small shop. Its columns are of every kind of type that Postgres has, because each has to arrive as it is.

create type order_status as enum ('new', 'paid', 'shipped', 'cancelled');
create domain email as text check (value like '%_@_%');

create table customers (
  id bigint primary key,
  email email not null unique,
  name varchar(80) not null,
  country char(3) not null,
  vip boolean not null default false,
  birthday date,
  signed_up timestamptz not null,
  last_seen_from inet,
  tags text[] not null default '{}',
  preferences jsonb not null default '{}',
  notes text
);

create table products (
  id uuid primary key,
  name text not null,
  price numeric(12, 2) not null,
  tax_rate numeric not null,                 -- any precision; NaN: not known yet
  stock integer not null,
  weight_kg real,
  rating double precision,
  flags bit(8) not null,
  thumbnail bytea,
  sizes integer[],
  attributes json,                           -- json, not jsonb: keeps its spelling
  available_until date not null,             -- infinity: no end
  delivery interval not null
);

create table orders (
  id bigint primary key,
  customer_id bigint not null references customers,
  status order_status not null,
  total numeric(12, 2) not null,
  channel smallint not null,
  created_at timestamptz not null,
  placed_local timestamp not null,           -- on the clock of the shop
  pick_up time,
  delivery_window tstzrange
);

create table order_items (
  order_id bigint not null references orders on delete cascade,
  line smallint not null,
  product_id uuid not null references products,
  quantity integer not null,
  unit_price numeric(12, 2) not null,
  gift_note text,
  primary key (order_id, line)
);

create index on orders (customer_id);
create index on order_items (product_id);
