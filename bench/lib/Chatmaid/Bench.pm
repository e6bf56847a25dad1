package Chatmaid::Bench;

# What is measured, and the world it is measured in: for each row a gateway of
# its own, with an empty zone and an empty Redis, between one keep-alive client
# and a second nginx that plays Chatmaid and a receiver of webhooks.
#
#   for my $row (rows(@names)) {
#       my $world = world($row);
#       $world->drive(1 .. 500);
#   }

use Mojo::Base -strict, -signatures;
use Carp qw(croak);
use Chatmaid::Bench::World;
use Chatmaid::Sandbox::Webhooks;
use Chatmaid::Test::World qw(fresh_secret);
use Exporter 'import';
use Mojo::JSON qw(decode_json);

our @EXPORT = qw(rows world plain_of sized median percentile);

my $ID     = 'msg_7Qk2Zt90LmXa';
my $SECRET = fresh_secret('whsec_');


# --- Requests ----------------------------------------------------------------

# Each is made from its number and, where a row has one, the size of its body.

sub http ($method, $path, $body = undef, @headers) {
    my @lines = ("$method $path HTTP/1.1", 'Host: 127.0.0.1:8080', 'User-Agent: curl/7.88.1', 'Accept: */*', @headers);
    push @lines, 'Content-Type: application/json', 'Content-Length: ' . length $body if defined $body;
    return join("\r\n", @lines, '', '') . ($body // '');
}

# A text has a limit, so a large message is one with many media.

sub media ($size) {
    return '' unless $size;
    return join ',', map { sprintf '"https://media.example/%s/%06d.jpg"', 'album-' x 20, $_ } 1 .. $size / 160;
}

sub sends ($path, $fixed = undef) {
    return sub ($i, $size) {
        state %media;
        my $media = $media{$size // 0} //= media($size);
        my $body  = '{"to":"+15550100099","text":"Your table is ready"' . ($media && qq(,"media":[$media])) . '}';
        return http(POST => $path, $body, sprintf 'Idempotency-Key: booking-%06d-ready', $fixed // $i);
    };
}

sub native_sends ($path) {
    return sub ($i, $size) {
        my $media = media($size);
        my $body  = '{"to":"+15550100099","content":"Your table is ready","fromPhoneId":"+15550100001"'
            . ($media && qq(,"mediaUrls":[$media])) . '}';
        return http(POST => $path, $body, sprintf 'Idempotency-Key: booking-%06d-ready', $i);
    };
}

sub gets ($path) {
    return sub ($i, $size) { http(GET => $path) };
}

# Events, none like another.
sub hooks ($path) {
    return sub ($i, $size) {
        $size //= 600;
        my $body = sprintf '{"event":"message.received","timestamp":"2026-07-25T17:21:00.%03dZ","data":{"messageId":'
            . '"inmsg_%08d","from":"+15550100099","to":"+15550100001","isGroup":false,"groupId":null,"type":"text",'
            . '"receivedAt":"2026-07-25T17:21:00.000Z","content":"', $i % 1000, $i;
        $body .= substr 'Thanks, see you at eight. ' x (1 + $size / 26), 0, $size - 3 - length $body if $size > 3 + length $body;
        $body .= '"}}';
        return http(POST => $path, $body, 'X-Chatmaid-Event: message.received',
            'X-Chatmaid-Signature: ' . Chatmaid::Sandbox::Webhooks::sign($body, $SECRET, int time));
    };
}


# --- Rows --------------------------------------------------------------------

# Each answer is checked: a row that went wrong is an error, not a number.

sub sent ($status, $head, $body)     { $status == 201 && $head !~ /^Idempotent-Replayed/mi && decode_json($body)->{id} eq $ID }
sub replayed ($status, $head, $body) { $status == 201 && $head =~ /^Idempotent-Replayed: true/mi && decode_json($body)->{id} eq $ID }
sub read_one ($status, $head, $body) { $status == 200 && decode_json($body)->{id} eq $ID }
sub as_it_is ($status, $head, $body) { $status =~ /\A20[01]\z/ && decode_json($body)->{data}{id} eq $ID }
sub taken ($status, $head, $body)    { $status == 200 && $body eq 'ok' }

# redis: how many scripts a request costs Redis, at least.
# thousands: instructions that a request may take, in thousands.
# first: what is sent before all others, once.
# size: bytes of the body, about; rows without it have small ones.
# lua: the peer does it.  records: it leaves some, whose memory is of interest.

my @ROWS = (
    {name => 'plain-post',   title => 'proxy_pass of a send',     request => native_sends('/plain/v1/messages/send'), check => \&as_it_is},
    {name => 'send-zone',    title => 'fresh send, zone',         request => sends('/chatmaid/send'), check => \&sent,
        plain => 'plain-post', thousands => 78, records => 1},
    {name => 'send-redis',   title => 'fresh send, Redis',        request => sends('/chatmaid/send'), check => \&sent,
        plain => 'plain-post', thousands => 89, redis => 2, records => 1},
    {name => 'replay-zone',  title => 'replay, zone',             request => sends('/chatmaid/send', 0), check => \&replayed,
        plain => 'plain-post', thousands => 35, first => 1},
    {name => 'replay-redis', title => 'replay, Redis',            request => sends('/chatmaid/send', 0), check => \&replayed,
        plain => 'plain-post', thousands => 42, first => 1, redis => 1},
    {name => 'plain-get',    title => 'proxy_pass of a read',     request => gets("/plain/v1/messages/$ID"), check => \&as_it_is},
    {name => 'v1-get',       title => 'v1 GET',                   request => gets("/chatmaid/v1/messages/$ID"), check => \&as_it_is,
        plain => 'plain-get', thousands => 48},
    {name => 'get',          title => 'simplified GET',           request => gets("/chatmaid/messages/$ID"), check => \&read_one,
        plain => 'plain-get', thousands => 51},
    {name => 'plain-hook',   title => 'proxy_pass of a webhook',  request => hooks('/hook-plain'), check => \&taken},
    {name => 'hook-off',     title => 'webhook, no records',      request => hooks('/hook-0'), check => \&taken,
        plain => 'plain-hook', thousands => 62},
    {name => 'hook-zone',    title => 'webhook, zone',            request => hooks('/hook'), check => \&taken,
        plain => 'plain-hook', thousands => 86},
    {name => 'hook-redis',   title => 'webhook, Redis',           request => hooks('/hook'), check => \&taken,
        plain => 'plain-hook', thousands => 96, redis => 2, records => 1},
);

push @ROWS,
    (map { large($_) } grep { $_->{name} =~ /^(?:plain-.*|.*-redis|.*get)$/ } @ROWS),

    {name => 'lua-send',   title => 'Lua: fresh send, Redis', request => sends('/chatmaid/send'), check => \&sent,
        plain => 'plain-post', lua => 1, redis => 2},
    {name => 'lua-replay', title => 'Lua: replay, Redis',     request => sends('/chatmaid/send', 0), check => \&replayed,
        plain => 'plain-post', lua => 1, first => 1, redis => 1},
    {name => 'lua-hook',   title => 'Lua: webhook, Redis',    request => hooks('/hook'), check => \&taken,
        plain => 'plain-hook', lua => 1, redis => 2};

# The same with bodies of 64 KiB, which have no limit of instructions: nearly all
# of them are TLS' and hashes'.

sub large ($row) {
    my %large = (%$row, size => 65536, name => "$row->{name}-64k", title => "$row->{title}, 64 KiB");
    $large{plain} .= '-64k' if $row->{plain};
    delete @large{qw(thousands records)};
    return \%large;
}

sub rows (@names) {
    my %row = map { $_->{name} => $_ } @ROWS;
    return map { $row{$_} // croak "no row \"$_\": there are " . join ', ', map { $_->{name} } @ROWS } @names if @names;
    return @ROWS;
}

# The row that this one is compared with, or itself.
sub plain_of ($row) { $row->{plain} // $row->{name} }

# The same row with bodies of about this size.
sub sized ($row, $size) { return {%$row, size => $size, thousands => undef} }

# before: what the gateway's nginx is run by; beside: all others.  The rest is in
# Chatmaid::Bench::World.
sub world ($row, %option) {
    return Chatmaid::Bench::World->new(row => $row, id => $ID, secret => $SECRET, %option)->start;
}


# --- Numbers -----------------------------------------------------------------

sub percentile ($percent, @numbers) { (sort { $a <=> $b } @numbers)[$#numbers * $percent / 100] }
sub median (@numbers)               { percentile(50, @numbers) }

1;
