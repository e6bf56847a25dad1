package Chatmaid::Sandbox::Control;

# How a test looks into the sandbox and pulls its strings: plain HTTP on a port
# of its own, so that nothing here can be mistaken for the API.

use Mojo::Base 'Mojolicious', -signatures;
use Mojo::JSON qw(encode_json);

has 'sandbox';

sub startup ($self) {
    $self->log->level('fatal');
    $self->max_request_size(0);
    my $routes = $self->routes;

    my %actions = (
        'GET /state'           => \&state,
        'GET /requests'        => \&requests,
        'GET /messages'        => \&messages,
        'POST /messages/move'  => \&move,
        'GET /faults'          => sub ($api, $c) { $api->faults },
        'POST /faults'         => \&add_faults,
        'DELETE /faults'       => sub ($api, $c) { @{$api->faults} = (); {} },
        'GET /held'            => \&held,
        'POST /release'        => \&release,
        'GET /webhooks'        => \&deliveries,
        'POST /webhooks'       => \&send_event,
        'GET /connections'     => \&connections,
        'POST /connections/close' => sub ($api, $c) { {closed => $api->close_idle} },
        'POST /config'         => sub ($api, $c) { $api->configure($c->req->json); {} },
        'POST /reset'          => sub ($api, $c) { $api->reset; {} },
    );

    for my $route (keys %actions) {
        my ($method, $path) = split / /, $route;
        $routes->any([$method] => $path => sub ($c) {
            my $data = $actions{$route}->($self->sandbox, $c);
            # Bytes travel as characters 0 to 255, so that any body survives JSON.
            $c->res->headers->content_type('application/json');
            $c->res->body(encode_json($data));
            $c->rendered(200);
        });
    }
}

# ?method= ?path= (a trailing * matches any rest) ?account= ?environment=
# ?request_id= ?from= (a number in the journal) narrow the list; ?count=1 gives
# its length alone, cheap enough to be asked again and again.

sub requests ($api, $c) {
    my %want  = %{$c->req->params->to_hash};
    my @found = @{$api->journal};

    @found = splice @found, ($want{from} || 1) - 1 if $want{from};
    for my $field (grep { defined $want{$_} } qw(method account environment request_id)) {
        @found = grep { ($_->{$field} // '') eq $want{$field} } @found;
    }
    if (defined(my $path = $want{path})) {
        my $prefix = $path =~ s/\*$//;
        @found = grep {
            my $is = Chatmaid::Sandbox::path_of($_);
            $prefix ? index($is, $path) == 0 : $is eq $path;
        } @found;
    }

    return $want{count} ? {count => scalar @found} : \@found;
}

# Each message with what is not part of its public face: the key it came with,
# whose it is, and how many requests were answered with it.

sub messages ($api, $c) {
    my $all = $api->data->all;
    return {count => scalar @$all} if $c->param('count');

    return [map { {
        %{$_->{message}},
        idempotencyKey => $_->{key},
        account        => $_->{account}{name},
        environment    => $_->{account}{environment},
        times          => $_->{times},
    } } @$all];
}

sub move ($api, $c) {
    my $want = $c->req->json;
    return {moved => $api->data->step(@$want{qw(id status errorCode)})};
}

sub add_faults ($api, $c) {
    my $given = $c->req->json;
    return {ids => [map { $api->add_fault($_) } ref $given eq 'ARRAY' ? @$given : $given]};
}

sub held ($api, $c) {
    return [map { {n => $_->{record}{n}, target => $_->{record}{target},
                   when => $_->{when}} } @{$api->held}];
}

sub release ($api, $c) { {released => $api->release(($c->req->json // {})->{count})} }

# ?event= ?state= narrow the list; ?count=1 as above.

sub deliveries ($api, $c) {
    my @found = @{$api->webhooks->journal};
    for my $field (qw(event state)) {
        my $want = $c->param($field) // next;
        @found = grep { $_->{$field} eq $want } @found;
    }
    return $c->param('count') ? {count => scalar @found} : \@found;
}

# {"event", "data", "timestamp"}, or {"event", "body"} for other bytes.

sub send_event ($api, $c) {
    my $want = $c->req->json;
    my $body = $want->{body} // Chatmaid::Sandbox::Webhooks::event(
        grep { defined } $want->{event}, $want->{data} // {}, $want->{timestamp});
    return {ids => [$api->webhooks->send($want->{event}, $body)]};
}

sub connections ($api, $c) {
    return [map { {id => $_->{id}, requests => $_->{requests}, sni => $_->{sni}} }
            sort { $a->{id} <=> $b->{id} } values %{$api->{connections} // {}}];
}

sub state ($api, $c) {
    return {
        requests    => scalar @{$api->journal},
        messages    => scalar @{$api->data->all},
        faults      => scalar @{$api->faults},
        held        => scalar @{$api->held},
        connections => scalar keys %{$api->{connections} // {}},
        accepted    => $api->{accepted} // 0,
    };
}

1;
